#!/usr/bin/env bash
# Builds the images and puts them where the cluster finds them. `make build_docker` passes its variables on:
#   IMAGES      which: some of platform satctl satserve ingest realtime reprocessing (all), or NAME=FOLDER of another Dockerfile
#   BUILD_ARGS  more arguments of the builder
#   TAG         default: k8s/image-tag.sh's
#   REPOSITORY  what stands before an image's name (satfields); a builder that is not Docker: docker.io/satfields
#   BUILDER     called as `$BUILDER -f FILE -t IMAGE --label ... .` (docker build)
#   SOURCE      the repository's address, for a label
#   LOADER      called as `$LOADER IMAGE...`; none: nothing (by kubectl's current context: minikube, kind, k3d or none)
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${TAG:-$(k8s/image-tag.sh)}
# Not arguments of the Dockerfiles: Buildah 1.28 takes a label from its cache whatever the argument's value is now.
labels=(--label "org.opencontainers.image.version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)")
revision=$(git rev-parse HEAD 2> /dev/null) && labels+=(--label "org.opencontainers.image.revision=$revision")
[[ -z ${SOURCE:-} ]] || labels+=(--label "org.opencontainers.image.source=$SOURCE")
read -ra builder <<< "${BUILDER:-docker build}"
read -ra names <<< "${IMAGES:-platform satctl satserve ingest realtime reprocessing}"

folder() { # of an image's Dockerfile
    [[ $1 != *=* ]] || { echo "${1#*=}"; return; }
    for candidate in "k8s/$1" "libs/$1" "locations/$1"; do
        [[ ! -f $candidate/Dockerfile ]] || { echo "$candidate"; return; }
    done
    echo "IMAGES: there is no image $1; expected some of: platform satctl satserve ingest realtime reprocessing" >&2
    return 1
}

is_minikube() { # whether a context is a profile of minikube's, which may have any name
    local extension
    extension=$(kubectl config view --minify --output \
        'jsonpath={.contexts[*].context.extensions[?(@.extension.provider=="minikube.sigs.k8s.io")].name}' 2> /dev/null)
    [[ -n $extension ]]
}

loader() { # the command for the cluster that kubectl talks to
    local context
    context=$(kubectl config current-context 2> /dev/null) || context=
    case $context in
        minikube) echo minikube image load ;;
        kind-*) echo kind load docker-image --name "${context#kind-}" ;;
        k3d-*) echo k3d image import --cluster "${context#k3d-}" ;;
        *) if is_minikube "$context"; then echo minikube --profile "$context" image load; else echo none; fi ;;
    esac
}

images=()
for name in "${names[@]}"; do
    where=$(folder "$name")
    image=${REPOSITORY:-satfields}/${name%%=*}:$tag
    echo "== $image ($((${#images[@]} + 1)) of ${#names[@]}, after $SECONDS s)"
    "${builder[@]}" -f "$where/Dockerfile" -t "$image" ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} \
        "${labels[@]}" ${BUILD_ARGS:-} .
    images+=("$image")
done

read -ra load <<< "${LOADER:-$(loader)}"
if [[ ${load[0]} == none ]]; then
    echo "== built after $SECONDS s; loaded nowhere: push them, or name a LOADER (minikube image load, kind load docker-image, ...)"
else
    echo "== ${load[*]} (after $SECONDS s)"
    "${load[@]}" "${images[@]}"
    echo "== loaded after $SECONDS s"
fi
printf '%s\n' "${images[@]}"
