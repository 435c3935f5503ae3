"""Pictures of scenes, each drawn once and kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

_KEPT_BYTES = 64 << 20
_AT_ONCE = 2  # that are drawn: each holds an overview of all bands in memory


class Pictures:
    """The pictures that were asked for lately, in this process's memory.

    Args:
        most: bytes that are kept.
    """

    def __init__(self, most: int = _KEPT_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._drawing = threading.BoundedSemaphore(_AT_ONCE)

    def get(self, name: tuple[str, ...], draw: Callable[[], bytes]) -> bytes:
        """A picture.

        Args:
            name: what it depends on.
            draw: makes it, where it is not kept.
        """
        kept = self._find(name)
        if kept is not None:
            return kept
        with self._drawing:
            kept = self._find(name)  # drawn while this request waited
            if kept is not None:
                return kept
            picture = draw()
            self._keep(name, picture)
            return picture

    def _find(self, name: tuple[str, ...]) -> bytes | None:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)

    def _keep(self, name: tuple[str, ...], picture: bytes) -> None:
        with self._lock:
            self._size += len(picture) - len(self._kept.pop(name, b""))
            self._kept[name] = picture
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])
