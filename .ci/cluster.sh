#!/usr/bin/env bash
# `make e2e_k8s` on a cluster: kubectl's own where that is named by E2E_K8S_CONTEXT, else the kit's (scripts that start a
# real one-node Kubernetes) where it lies beside the project and runs none yet. It says plainly where there is neither.
# `.ci/cluster.sh prepare` compiles the kit's Kubernetes and builds the images, and starts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

kit=${K8S_KIT:-../shared/k8s-kit}
if [[ -n ${E2E_K8S_CONTEXT:-} ]]; then
    [[ $(kubectl config current-context) == "$E2E_K8S_CONTEXT" ]] || {
        echo "E2E_K8S_CONTEXT=$E2E_K8S_CONTEXT is not kubectl's current context" >&2
        exit 1
    }
    [[ ${1:-} == prepare ]] || make e2e_k8s
    exit
fi
if [[ ! -x $kit/up.sh || $(id -u) != 0 ]]; then
    echo "NOT RUN: the end-to-end test on Kubernetes. There is no cluster here that may be used (E2E_K8S_CONTEXT names one)."
    exit
fi
cache=${K8S_CACHE:-/var/cache/k8s-kit} state=${K8S_STATE:-/var/lib/k8s-kit}
if [[ -e $state ]]; then
    echo "NOT RUN: the end-to-end test on Kubernetes. $state is somebody's cluster ($kit/down.sh --purge removes it)."
    exit
fi
kit=$(cd "$kit" && pwd)
export REPOSITORY=docker.io/satfields HELM_ARGS="--post-renderer $kit/older-apis.py"
export PLATFORM_ARGS="--set-string postgresql.image.repository=$REPOSITORY/postgresql,postgresql.image.tag=15"

# Its builder: the machine's certificates for the steps that install something.
conf=$(mktemp -d)
trap 'rm -rf "$conf"' EXIT
certificates=/etc/ssl/certs/ca-certificates.crt
printf '[global]\ncert = %s\ndisable-pip-version-check = 1\n' "$certificates" > "$conf/pip.conf"
chmod -R a+rX "$conf"
export BUILDER="buildah bud --pull-never --layers --isolation chroot --network host \
    --volume $certificates:$certificates:ro --volume $conf/pip.conf:/etc/pip.conf:ro"

# Kubernetes is compiled, images wait for the network: both at once. What fails early is told when it is tried again below;
# the packages come first, since apt serves one at a time.
failed=
command -v debootstrap buildah > /dev/null || {
    apt-get -qq update && apt-get -qq install --yes --no-install-recommends debootstrap buildah > /dev/null
} || failed="debootstrap and buildah can't be installed"
{
    export LOADER=none
    "$kit/base-image.sh" && k8s/build.sh && IMAGES=postgresql=tests/cluster/postgresql TAG=15 k8s/build.sh
} > "$conf/early.log" 2>&1 &
early=$!
{ "$kit/build.sh" && "$kit/tools.sh"; } || failed="Kubernetes or its tools can't be built"
echo "== compiled (after $SECONDS s)"
wait "$early" || tail -n 3 "$conf/early.log"
echo "== images built (after $SECONDS s)"
[[ ${1:-} != prepare ]] || exit 0
if [[ -z $failed ]]; then
    { "$kit/base-image.sh" && "$kit/up.sh"; } || failed="the cluster does not start"
fi
if [[ -n $failed ]]; then
    echo "NOT RUN: the end-to-end test on Kubernetes: $failed, with the kit in $kit on this machine; see above."
    exit
fi
echo "== a cluster is up (after $SECONDS s)"
trap 'rm -rf "$conf"; "$kit/down.sh" --purge' EXIT
export KUBECONFIG=$state/admin.kubeconfig PATH=$cache/tools:$PATH LOADER=$kit/load-image.sh
IMAGES=postgresql=tests/cluster/postgresql TAG=15 k8s/build.sh

# Its provisioner makes volumes that only root may write to.
for number in 1 2; do
    folder=$state/satfields-e2e-$number
    mkdir "$folder" && chmod 0777 "$folder"
    kubectl create --filename - << END
apiVersion: v1
kind: PersistentVolume
metadata: {name: satfields-e2e-$number}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: standard
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $folder}
END
done
make e2e_k8s
echo "== the test on Kubernetes is over (after $SECONDS s)"
