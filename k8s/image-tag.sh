#!/usr/bin/env bash
# The tag of this checkout's images: version-revision, and of what is not committed a digest, so that no tag is used twice.
# It follows what goes into images alone: neither charts nor values change it.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mapfile -t parts < <(sed -n 's/^!//p' .dockerignore)
parts+=(.dockerignore pyproject.toml k8s/platform)
if revision=$(git log -1 --format=%h --abbrev=10 -- "${parts[@]}" 2> /dev/null) && [[ -n $revision ]]; then
    tag+=-$revision
    if [[ -n $(git status --porcelain -- "${parts[@]}") ]]; then
        tag+=-$({ git diff HEAD -- "${parts[@]}" && git ls-files --others --exclude-standard -z -- "${parts[@]}" | xargs -0r cat; } |
            sha256sum | head -c 8)
    fi
fi
echo "$tag"
