#!/usr/bin/env bash
# The tag of this checkout's images: version-revision, and of what is not committed a digest, so that no tag is used twice.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
if revision=$(git rev-parse --short=10 HEAD 2> /dev/null); then
    tag+=-$revision
    if [[ -n $(git status --porcelain) ]]; then
        tag+=-$({ git diff HEAD && git ls-files --others --exclude-standard -z | xargs -0r cat; } | sha256sum | head -c 8)
    fi
fi
echo "$tag"
