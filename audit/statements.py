"""Signed statements of what retention dropped: pure Python, to be shipped with a verifier.

A statement is a signed note (audit.notes) with the log's own key. Its second line says what it is, so it can never pass
for a checkpoint, whose second line is a number. It stands for exactly the leaves that it names, and no others.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.notes import Checkpoint, NoteError, VerifierKey, open_note, parse_checkpoint

_TITLE = "retention statement, version 1"
_NAMES = ("month", "leaves", "events", "tree", "kept", "by", "at")
_RANGE = re.compile(r"\A([0-9]{1,18})-([0-9]{1,18})\Z")


@dataclass(frozen=True)
class Statement:
    """That the events of these leaves (first and last of each run, in order) were dropped on purpose.

    `head` is the tree at that moment, which the leaves were in. `kept`, `by` and `at` are for people: what the
    rule was, who applied it, and when.
    """

    head: Checkpoint
    month: str
    leaves: tuple[tuple[int, int], ...]
    kept: str
    by: str
    at: str

    @property
    def events(self) -> int:
        return sum(last - first + 1 for first, last in self.leaves)

    def __str__(self) -> str:
        runs = " ".join(f"{first}-{last}" for first, last in self.leaves)
        tree = f"{self.head.size} {base64.b64encode(self.head.root).decode()}"
        values = (self.month, runs, str(self.events), tree, self.kept, self.by, self.at)
        lines = [f"{name}: {' '.join(value.split())}" for name, value in zip(_NAMES, values, strict=True)]
        return "\n".join([self.head.origin, _TITLE, *lines, ""])


class Dropped:
    """The leaves that some statements stand for."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(runs):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, index: int) -> bool:
        return self.find_end(index) > index

    def find_end(self, index: int) -> int:
        """Return the first leaf from this one on that is not among them."""
        at = bisect_right(self._firsts, index) - 1
        return self._lasts[at] + 1 if at >= 0 and index <= self._lasts[at] else index

    def within(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """Return the runs that lie between these leaves, cut to them."""
        runs = zip(self._firsts, self._lasts, strict=True)
        return tuple((max(first, start), min(last, end - 1)) for first, last in runs if first < end and last >= start)


def parse_statement(text: str) -> Statement:
    """Read the text of a note. Raises NoteError where it is no statement, or doesn't agree with itself."""
    origin, title, *lines = [*text.split("\n"), ""]
    values = dict(line.split(": ", 1) for line in lines if ": " in line)
    if title != _TITLE or tuple(values) != _NAMES:
        raise NoteError("this is no retention statement")
    size, _, root = values["tree"].partition(" ")
    head = parse_checkpoint(f"{origin}\n{size}\n{root}\n")
    leaves = tuple(_read_run(run) for run in values["leaves"].split())
    statement = Statement(head, values["month"], leaves, values["kept"], values["by"], values["at"])
    # What is left to choose is only what it says: one statement has one text.
    if str(statement) != text or not leaves or not _is_in_order(leaves, head.size):
        raise NoteError("this retention statement does not agree with itself")
    return statement


def open_statement(note: str, origin: str, keys: Sequence[VerifierKey]) -> Statement:
    """Return the statement about this log that one of these keys signed. Raises NoteError."""
    statement = parse_statement(open_note(note, keys))
    if statement.head.origin != origin:
        raise NoteError(f"this retention statement is about another log, {statement.head.origin}")
    return statement


def _read_run(text: str) -> tuple[int, int]:
    found = _RANGE.match(text)
    if found is None:
        raise NoteError("this retention statement names its leaves in a way that nobody knows")
    return int(found[1]), int(found[2])


def _is_in_order(leaves: Sequence[tuple[int, int]], size: int) -> bool:
    bounds = [bound for run in leaves for bound in run]
    starts = [first for first, _ in leaves]
    return bounds == sorted(bounds) and len(set(starts)) == len(starts) and bounds[-1] < size
