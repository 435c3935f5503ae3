"""How far a region's collection is written, in objects beside it: any machine goes on where another ended.

`cursor.json` says what was written of each day. While a run writes, `writing.json` names it: the run that began last
goes on, and one that is no longer named stops. What that one wrote last may have replaced something newer, so it leaves
a note of that day (`doubt/DAY.json`), and the day is written again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

from satcommon.errors import InputError, ObjectMissingError, StoreError
from satcommon.stac_out.options import encoded
from satcommon.storage.object_store import ObjectStore

CURSOR, WRITING, DOUBT = "cursor.json", "writing.json", "doubt/"
_NOTE = re.compile(re.escape(DOUBT) + r"(?P<day>\d{4}-\d{2}-\d{2})\.json")


class OvertakenError(StoreError):
    """Another run began to write the same collection."""


@dataclass
class Progress:
    """What was written of a collection.

    Args:
        installation: identifies the database.
        days: what identifies the content of each day that was written.
        empty: days among them that have no row to show, and so no item.
        collection: what identifies the content of the rest; empty while days are being written.
    """

    installation: str
    days: dict[date, str] = field(default_factory=dict)
    empty: set[date] = field(default_factory=set)
    collection: str = ""

    @property
    def with_item(self) -> list[date]:
        """The days that have an item, ascending."""
        return sorted(self.days.keys() - self.empty)

    def forget(self, day: date) -> None:
        """Note that a day is to be written, or is gone."""
        self.days.pop(day, None)
        self.empty.discard(day)

    def as_bytes(self) -> bytes:
        """The object's bytes."""
        return encoded(
            {
                "installation": self.installation,
                "collection": self.collection,
                "days": {str(day): self.days[day] for day in sorted(self.days)},
                "empty": [str(day) for day in sorted(self.empty)],
            }
        )


def read_progress(target: ObjectStore, collection: str, installation: str) -> Progress:
    """What was written; nothing where the object is missing or damaged: then every day is written again.

    Raises:
        InputError: another installation wrote the collection.
        StoreError: the target can't be reached.
    """
    try:
        found = json.loads(target.get(f"{collection}/{CURSOR}"))
        days = {date.fromisoformat(day): str(content) for day, content in found["days"].items()}
        empty = {date.fromisoformat(day) for day in found["empty"]}
        progress = Progress(str(found["installation"]), days, empty, str(found["collection"]))
    except (ObjectMissingError, ValueError, KeyError, TypeError, AttributeError):
        return Progress(installation)
    if progress.installation != installation:
        raise InputError(
            f"{target.url}: collection {collection!r} was written by another installation of Satfields; "
            f"publish to another place, or remove {collection}/ there first"
        )
    return progress


class Writer:
    """A run that writes a collection.

    Args:
        target: where to.
        collection: its id.

    Raises:
        StoreError: the target can't be written to.
    """

    def __init__(self, target: ObjectStore, collection: str) -> None:
        self._target, self._collection = target, collection
        self._own = encoded({"run": uuid4().hex})
        target.replace(f"{collection}/{WRITING}", self._own)

    def check(self, day: date | None = None) -> None:
        """Stop if another run began; a day that this run has just written is then noted.

        Raises:
            OvertakenError: another run began.
        """
        try:
            is_ours = self._target.get(f"{self._collection}/{WRITING}") == self._own
        except ObjectMissingError:
            is_ours = False
        if is_ours:
            return
        if day is not None:
            self._target.replace(f"{self._collection}/{DOUBT}{day}.json", self._own)
        raise OvertakenError(
            f"{self._target.url}: another run began to write collection {self._collection!r}, and goes on; "
            "this one stops, and has left nothing half-written"
        )

    def save(self, progress: Progress) -> None:
        """Note what was written.

        Raises:
            OvertakenError: another run began.
        """
        self.check()
        self._target.replace(f"{self._collection}/{CURSOR}", progress.as_bytes())

    def end(self) -> None:
        """Note that this run ended."""
        self._target.delete(f"{self._collection}/{WRITING}")


def doubtful_days(names: list[str]) -> set[date]:
    """The days that were noted as doubtful; other names are not ours.

    Args:
        names: of a collection's objects.
    """
    notes = [match for name in names if (match := _NOTE.fullmatch(name))]
    return {date.fromisoformat(note["day"]) for note in notes}
