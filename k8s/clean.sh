#!/usr/bin/env bash
# Removes the releases of the namespace and the namespace, with the Secrets, the database and the objects in it.
# It says what it will remove, and asks; YES=1 goes on without.
set -euo pipefail
: "${NAMESPACE:=satfields}" "${KUBECTL:=kubectl}" "${HELM:=helm}" "${YES:=}"

if ! $KUBECTL get namespace "$NAMESPACE" > /dev/null 2>&1; then
    echo "there is no namespace $NAMESPACE"
    exit
fi
releases=$($HELM --namespace "$NAMESPACE" list --short)
echo "In $($KUBECTL config current-context), namespace $NAMESPACE, all of this is removed for good:"
echo "releases:" ${releases:-none}
$KUBECTL --namespace "$NAMESPACE" get persistentvolumeclaims,secrets,jobs --output name
if [[ -z $YES ]]; then
    read -r -p "Type the namespace's name to go on: " answer
    [[ $answer == "$NAMESPACE" ]] || { echo "nothing was removed"; exit 1; }
fi
for release in $releases; do
    $HELM --namespace "$NAMESPACE" uninstall --wait "$release"
done
$KUBECTL delete namespace "$NAMESPACE" --wait
