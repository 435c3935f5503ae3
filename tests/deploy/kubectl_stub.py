"""As much of `kubectl` as `k8s/satctl` uses, for tests of it: a Job is a process of this machine, `exec` another.

`STUB` is its folder, which stands for the pod's; `STUB_CUT` bytes of each answer of `exec` arrive at most, as where a
connection breaks, `STUB_LIE` replaces the first byte of each piece.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["STUB"])
JOB = {"template": {"spec": {"containers": [{"name": "satctl"}]}}}


def here(text: str) -> str:
    return text.replace("/tmp/satctl", str(FOLDER / "pod"))


def create() -> None:
    (container,) = json.load(sys.stdin)["spec"]["template"]["spec"]["containers"]
    command = [here(text) for text in [*container["command"], *container["args"]]]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    (FOLDER / "pid").write_text(str(process.pid))


def execute(arguments: list[str]) -> int:
    script = here(arguments[-1])
    done = subprocess.run(["sh", "-c", script], input=sys.stdin.buffer.read(), stdout=subprocess.PIPE, check=False)
    said = done.stdout
    if "head -c" in script:
        cut = int(os.environ.get("STUB_CUT", "0"))
        said = said[:cut] if cut else said
        said = b"?" + said[1:] if "STUB_LIE" in os.environ else said
    sys.stdout.buffer.write(said)
    return done.returncode


def main(arguments: list[str]) -> int:
    verb, *rest = arguments[2:]  # after --namespace and its name
    state = (
        {"terminated": {"exitCode": 137, "reason": "OOMKilled"}} if (FOLDER / "killed").exists() else {"running": {}}
    )
    pod = {"metadata": {"name": "pod"}, "status": {"containerStatuses": [{"state": state}]}}
    if verb == "create":
        create()
    elif verb == "exec":
        return 1 if (FOLDER / "killed").exists() else execute(rest)
    elif verb == "delete":
        (FOLDER / "deleted").touch()
    elif rest[0] == "cronjob":
        json.dump({"spec": {"jobTemplate": {"spec": JOB}}}, sys.stdout)
    else:
        json.dump(pod if rest[0] == "pod" else {"items": [pod]}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
