"""`make check_pod_status`: what a pod that is not well says of itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STACK = """dagster._core.errors.DagsterUserCodeLoadError: Error occurred during the loading of Dagster definitions

Stack Trace:
  File "/opt/x.py", line 9, in load
    yield

The above exception was caused by the following exception:
satcommon.errors.StoreError: the store s3://nowhere/x (SATFIELDS_STORE) can't be reached; mend it

Stack Trace:
  File "/opt/objects.py", line 134, in make
    raise StoreError(
"""


@pytest.mark.parametrize("kept", [len(STACK), 60])  # of the log's end, by Kubernetes
@pytest.mark.parametrize("state", ["state", "lastState"])
def test_the_message_of_an_exception_is_shown_wherever_its_stack_ends(kept: int, state: str, tmp_path: Path) -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": STACK[-kept:]}}
    status = {"name": "code-server", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, state: ended}
    pods = {"items": [{"metadata": {"name": "ingest-1"}, "status": {"containerStatuses": [status]}}]}
    (tmp_path / "pods").write_text(json.dumps(pods))
    (tmp_path / "log").write_text(STACK)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"""#!/bin/sh
case "$*" in
    *json*) cat {tmp_path}/pods ;;
    *logs*) cat {tmp_path}/log ;;
esac
""")
    kubectl.chmod(0o755)

    done = subprocess.run(
        [ROOT / "k8s/pod_status.sh"],
        env={**os.environ, "KUBECTL": str(kubectl)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "ingest-1" in done.stdout
    assert "the store s3://nowhere/x (SATFIELDS_STORE) can't be reached; mend it" in done.stdout
    assert "raise StoreError(" not in done.stdout
