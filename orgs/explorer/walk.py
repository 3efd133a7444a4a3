"""A way through a long time in stretches, none of which takes long to read, and an end to it all."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence

from audit.querysets import CLOCKS_DIFFER
from orgs.explorer.asked import Window

SECONDS = 2.0
# A time that ends now is followed by an hour's keys of clocks that are ahead: hardly any.
_FIRST = CLOCKS_DIFFER + dt.timedelta(minutes=15)
_QUICK, _SLOW = 0.05, 0.2


class Walk:
    """Iterating returns stretches of the runs, from the newest on, each as long as the former ones let expect.

    `stopped_at` then says where it ended before its end, since too much time was over.
    """

    def __init__(self, runs: Sequence[Window], *, is_forward: bool = False) -> None:
        self.stopped_at: dt.datetime | None = None
        self._runs = list(runs if not is_forward else runs[::-1])
        self._is_forward = is_forward

    def __iter__(self) -> Iterator[Window]:
        length, ends = _FIRST, time.monotonic() + SECONDS
        while self._runs:
            stretch = self._cut(self._runs.pop(), length)
            began = time.monotonic()
            yield stretch
            now = time.monotonic()
            if now >= ends and self._runs:
                self.stopped_at = stretch.end if self._is_forward else stretch.start
                return
            length = length * 8 if now - began < _QUICK else length / 2 if now - began > _SLOW else length

    def _cut(self, run: Window, length: dt.timedelta) -> Window:
        if run.end - run.start <= length:
            return run
        middle = run.start + length if self._is_forward else run.end - length
        older, newer = Window(run.start, middle), Window(middle, run.end)
        stretch, rest = (older, newer) if self._is_forward else (newer, older)
        self._runs.append(rest)
        return stretch
