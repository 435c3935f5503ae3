"""Delivery in a process that may be killed at any effect: a commit, or an event that was sent.

Run as a program, it forks one such process for each line of its input, and tells how that ended: all is imported once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from satcommon.db.engine import open_engine
from satcommon.publication.objects import ResultObjects
from satcommon.settings import Settings
from satcommon.storage.object_store import ObjectStore
from satcommon.webhooks import deliver, event


def run(url: str, store: str, at: datetime, kill_at: int | None, points: Path) -> None:
    """Deliver once; be killed at an effect, or note all effects."""
    engine, seen, written = open_engine(url), list[str](), dict[int, int]()

    def reached(what: str) -> None:
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(what)

    commit, post = engine.dialect.do_commit, deliver.post

    def committed(connection: Any) -> None:
        changes = connection.total_changes
        writes = changes != written.get(id(connection), 0)  # a commit of what was only read is no effect
        written[id(connection)] = changes
        if writes:
            reached("before a commit")
        commit(connection)
        if writes:
            reached("after a commit")

    def posted(*arguments: Any, **options: Any) -> int:
        reached("before an event")
        status = post(*arguments, **options)
        reached("after an event")
        return status

    engine.dialect.do_commit = committed  # type: ignore[method-assign]  # of this process, which ends
    deliver.post, event.MOST_CHANGES = posted, 10  # likewise
    deliver.deliver(engine, ResultObjects(ObjectStore(store)), Settings(webhook_private=True), lambda: at)
    points.write_text(json.dumps(seen))


def main() -> None:
    """A process for each line."""
    for line in sys.stdin:
        url, store, at, kill_at, points = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                run(url, store, datetime.fromisoformat(at), kill_at, Path(points))
            except BaseException:  # noqa: BLE001  # told by the exit code
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201  # to the test


if __name__ == "__main__":
    main()
