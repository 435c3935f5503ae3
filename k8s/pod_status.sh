#!/usr/bin/env bash
# The pods of the namespace, and what those say that are not well: an operator's first look.
set -euo pipefail
: "${NAMESPACE:=satfields}" "${KUBECTL:=kubectl}"
export NAMESPACE KUBECTL
kube() { $KUBECTL --namespace "$NAMESPACE" "$@"; }

kube get pods --output wide
kube get pods --output json | "${PYTHON:-python3}" -c '
import json, os, shlex, subprocess, sys

FRAMES = ("Traceback (", "Stack Trace:", "The above exception", "During handling")

def messages(text):
    """The lines of a text that are no stack of a Python program: its message stands before the stack, or behind it."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "\t", *FRAMES))]

def said(pod, container, end, again):
    """What a container said at its end. Of a long stack Kubernetes keeps the end alone, so that its log is asked for the rest."""
    found = messages(end.get("message") or "")
    if not found and "exitCode" in end:
        command = [*shlex.split(os.environ["KUBECTL"]), "--namespace", os.environ["NAMESPACE"], "logs", pod, "--container",
                   container, "--tail=400", *(["--previous"] if again else [])]
        found = messages(subprocess.run(command, capture_output=True, text=True).stdout)
    return found[-5:]

for pod in json.load(sys.stdin)["items"]:
    status = pod["status"]
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state, last = one["state"], one.get("lastState", {})
        before = last.get("terminated") if not one["ready"] else None
        for end in (state.get("waiting"), state.get("terminated"), before):
            if end and end.get("reason") not in ("Completed", "PodInitializing", "ContainerCreating"):
                name = pod["metadata"]["name"]
                lines = said(name, one["name"], end, end is before)
                print("\n" + name, one["name"] + ":", end.get("reason"), *lines, sep="\n  ")
'
echo
kube get events --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 15
