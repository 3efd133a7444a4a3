"""Which change explains that a few leaves no longer give the root that was kept of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from audit.verification.findings import Kind, Tampering

# Tells whether these leaf hashes give the root that is wanted.
Fits = Callable[[list[bytes]], bool]

# Trying every pair of more leaves than this takes longer than it is worth.
_MOST_FOR_PAIRS = 256
_MOST_LEAVES = 5_000


class Row(NamedTuple):
    """A leaf as it is stored."""

    at: int
    key: bytes
    hash: bytes

    @property
    def event_id(self) -> UUID:
        return UUID(bytes=self.key)


def explain(rows: Sequence[Row], following: Sequence[Row], fits: Fits) -> Tampering:
    """Name what was done to these leaves. `following` is the leaf after them, if there is one."""
    if len(rows) <= _MOST_LEAVES:
        for attempt in (_find_reordering, _find_insertion):
            found = attempt(rows, following, fits)
            if found is not None:
                return found
    first, last = rows[0], rows[-1]
    text = f"an event between leaf {first.at} and {last.at} was changed together with its leaf"
    return Tampering(Kind.EDIT, first.at, text, first.event_id, is_guess=True)


def _find_reordering(rows: Sequence[Row], following: Sequence[Row], fits: Fits) -> Tampering | None:
    for order in _orders(rows):
        if fits([row.hash for row in order]):
            moved, instead = next((now, then) for now, then in zip(rows, order, strict=True) if now is not then)
            text = f"it stands where event {instead.event_id} stood: events have changed places"
            return Tampering(Kind.REORDER, moved.at, text, moved.event_id)
    return None


def _orders(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """What is sealed together is sealed in the order of its keys; else two may have been exchanged."""
    by_key = sorted(rows, key=lambda row: row.key)
    if by_key != list(rows):
        yield by_key
    if len(rows) > _MOST_FOR_PAIRS:
        return
    for first, second in combinations(range(len(rows)), 2):
        exchanged = list(rows)
        exchanged[first], exchanged[second] = exchanged[second], exchanged[first]
        yield exchanged


def _find_insertion(rows: Sequence[Row], following: Sequence[Row], fits: Fits) -> Tampering | None:
    hashes = [row.hash for row in [*rows, *following]]
    for at, row in enumerate(rows):
        if fits([*hashes[:at], *hashes[at + 1 :]][: len(rows)]):
            return Tampering(Kind.INSERT, row.at, "it was put between events that were sealed before", row.event_id)
    return None
