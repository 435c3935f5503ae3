#!/usr/bin/env bash
# The pods of the namespace, and what those say that are not well: an operator's first look.
set -euo pipefail
: "${NAMESPACE:=satfields}" "${KUBECTL:=kubectl}"
kube() { $KUBECTL --namespace "$NAMESPACE" "$@"; }

kube get pods --output wide
kube get pods --output json | "${PYTHON:-python3}" -c '
import json, sys
for pod in json.load(sys.stdin)["items"]:
    status = pod["status"]
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state, last = one["state"], one.get("lastState", {})
        for end in (state.get("waiting"), state.get("terminated"), last.get("terminated") if not one["ready"] else None):
            if end and end.get("reason") not in ("Completed", "PodInitializing", "ContainerCreating"):
                said = (end.get("message") or "").strip().splitlines()
                print("\n" + pod["metadata"]["name"], one["name"] + ":", end.get("reason"), *said[-5:], sep="\n  ")
'
echo
kube get events --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 15
