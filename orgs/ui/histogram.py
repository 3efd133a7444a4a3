"""Events over time as bars, each a link that narrows the time to it: worked out on the server, without a script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orgs.ui.scale import Line, Scale, fit

WIDTH, HEIGHT = 960, 150
_LEFT, _TOP, _FLOOR = 44, 8, HEIGHT - 22
_MOST_LABELS = 6
# From the bottom up: the tone, its name, and the outcomes (audit.models.Outcome) that it stands for.
STACK = (
    ("allow", "Done", ("ok",)),
    ("deny", "Denied", ("denied", "error_auth")),
    ("ask", "Failed", ("error_remote", "error_proxy")),
    ("silent", "Begun or cancelled", ("", "cancelled")),
)


@dataclass(frozen=True, slots=True)
class Part:
    y: float
    height: float
    tone: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of time. `start` and `end` are as addresses have them; `counts` are in the order of STACK."""

    x: float
    width: float
    start: str
    end: str
    label: str
    words: str
    address: str
    total: int
    counts: tuple[int, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Label:
    x: float
    words: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars from `start` on; `step` is a bar's stretch of time in words."""

    start: dt.datetime
    seconds: int
    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    lines: tuple[Line, ...]
    totals: tuple[tuple[str, str, int], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    top: int = _TOP
    floor: int = _FLOOR

    @property
    def filled(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.total]

    @property
    def total(self) -> int:
        return sum(bar.total for bar in self.bars)

    @property
    def step(self) -> str:
        return say_length(self.seconds)

    def find_place(self, moment: dt.datetime) -> float:
        """Return how far from the left a moment is."""
        bars = (moment - self.start).total_seconds() / self.seconds
        return round(max(0.0, bars * (WIDTH - _LEFT) / len(self.bars)), 1)


def make_histogram(
    counts: Mapping[tuple[Any, ...], int],
    seconds: int,
    start: dt.datetime,
    end: dt.datetime,
    *,
    make_address: Callable[[str, str], str],
) -> Histogram:
    """Lay out `counts`: by stretch of `seconds` (its number since 1970) and outcome, from `start` until `end`.

    `make_address` returns the address of a page about a time, given as addresses have it.
    """
    numbers = range(int(start.timestamp() // seconds), int((end.timestamp() - 0.001) // seconds) + 1)
    columns = [tuple(sum(counts.get((number, one), 0) for one in meant) for _, _, meant in STACK) for number in numbers]
    scale = fit(max(map(sum, columns), default=0), top=_TOP, floor=_FLOOR)
    step = (WIDTH - _LEFT) / len(numbers)
    bars = tuple(
        _make_bar(column, _get_moment(number, seconds), seconds, _LEFT + index * step, step, scale, make_address)
        for index, (number, column) in enumerate(zip(numbers, columns, strict=True))
    )
    return Histogram(
        start=_get_moment(numbers.start, seconds),
        seconds=seconds,
        bars=bars,
        labels=_make_labels(numbers, seconds, step),
        lines=scale.lines,
        totals=tuple((tone, name, sum(column[at] for column in columns)) for at, (tone, name, _) in enumerate(STACK)),
    )


def _make_bar(
    column: tuple[int, ...],
    begins: dt.datetime,
    seconds: int,
    x: float,
    width: float,
    scale: Scale,
    make_address: Callable[[str, str], str],
) -> Bar:
    ends = begins + dt.timedelta(seconds=seconds)
    since, until = begins.strftime("%Y-%m-%dT%H:%M:%S"), ends.strftime("%Y-%m-%dT%H:%M:%S")
    label = _say_stretch(begins, ends)
    return Bar(
        x=round(x, 2),
        width=round(width, 2),
        start=since,
        end=until,
        label=label,
        words=f"{label}: {_say_counts(column)}",
        address=make_address(since, until),
        total=sum(column),
        counts=column,
        parts=_stack(column, scale),
    )


def say_length(seconds: int) -> str:
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {name}s" if count > 1 else name
    return f"{seconds} seconds" if seconds > 1 else "second"


def _get_moment(number: int, seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(number * seconds, dt.UTC)


def _stack(column: tuple[int, ...], scale: Scale) -> tuple[Part, ...]:
    parts, below = [], 0
    for count, (tone, _, _) in zip(column, STACK, strict=True):
        if count:
            upper, lower = scale.y(below + count), scale.y(below)
            parts.append(Part(upper, round(max(lower - upper, 1), 1), tone))
            below += count
    return tuple(parts)


def _say_counts(column: tuple[int, ...]) -> str:
    said = [f"{count:,} {name.lower()}" for count, (_, name, _) in zip(column, STACK, strict=True) if count]
    total = sum(column)
    return f"{total:,} {'event' if total == 1 else 'events'} ({', '.join(said)})" if said else "nothing"


def _say_stretch(begins: dt.datetime, ends: dt.datetime) -> str:
    if ends - begins >= dt.timedelta(days=1):
        return f"{begins:%-d %b}" if ends - begins == dt.timedelta(days=1) else f"{begins:%-d %b %Y} on"
    form = "%H:%M" if (ends - begins).total_seconds() >= 60 else "%H:%M:%S"
    return f"{begins:%-d %b, {form}} to {ends:{form}}"


def _make_labels(numbers: range, seconds: int, step: float) -> tuple[Label, ...]:
    """Label round times only: as many of them as fit."""
    every = next(
        (every for every in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30) if len(numbers) / every <= _MOST_LABELS), 60
    )
    labels = []
    for index, number in enumerate(numbers):
        # Not at the very edge, where half of it would be cut off.
        if number % every == 0 and 0 < index < len(numbers) - 1:
            words = _say_moment(_get_moment(number, seconds), seconds * every)
            labels.append(Label(round(_LEFT + index * step, 1), words))
    return tuple(labels)


def _say_moment(moment: dt.datetime, apart: int) -> str:
    if apart >= 86_400:
        return f"{moment:%-d %b}"
    is_midnight = (moment.hour, moment.minute, moment.second) == (0, 0, 0)
    return f"{moment:%-d %b}" if is_midnight else f"{moment:%H:%M}" if apart >= 60 else f"{moment:%H:%M:%S}"
