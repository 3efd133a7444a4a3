"""Events over time as bars, each a link that narrows the time to it: worked out on the server, without a script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orgs.ui.charts import round_up

WIDTH, HEIGHT = 960, 150
_LEFT, _TOP, _BOTTOM = 44, 8, 22
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
class Line:
    y: float
    value: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """`uncounted` is how far, from the left, nothing was counted; `step` is a bar's stretch of time in words."""

    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    lines: tuple[Line, ...]
    total: int
    totals: tuple[tuple[str, str, int], ...]
    step: str
    uncounted: float = 0
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    top: int = _TOP
    floor: int = HEIGHT - _BOTTOM

    @property
    def filled(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.total]


def make_histogram(
    counts: Mapping[int, Mapping[str, int]],
    *,
    seconds: int,
    start: dt.datetime,
    end: dt.datetime,
    make_address: Callable[[str, str], str],
    counted_from: dt.datetime | None = None,
) -> Histogram:
    """Lay out `counts`: by stretch of `seconds` (its number since 1970) and outcome, from `start` until `end`.

    `make_address` returns the address of a page about a time, given as addresses have it.
    """
    first, last = int(start.timestamp() // seconds), int((end.timestamp() - 0.001) // seconds)
    numbers = range(first, last + 1)
    columns = [_sum_up(counts.get(number, {})) for number in numbers]
    top = round_up(max(map(sum, columns), default=0))
    step = (WIDTH - _LEFT) / len(numbers)
    bars = []
    for index, number in enumerate(numbers):
        begins = dt.datetime.fromtimestamp(number * seconds, dt.UTC)
        ends = begins + dt.timedelta(seconds=seconds)
        since, until = begins.strftime("%Y-%m-%dT%H:%M:%S"), ends.strftime("%Y-%m-%dT%H:%M:%S")
        label = _say_stretch(begins, ends)
        bars.append(
            Bar(
                x=round(_LEFT + index * step, 2),
                width=round(step, 2),
                start=since,
                end=until,
                label=label,
                words=f"{label}: {_say_counts(columns[index])}",
                address=make_address(since, until),
                total=sum(columns[index]),
                counts=columns[index],
                parts=_stack(columns[index], top),
            )
        )
    totals = tuple(
        (tone, name, sum(column[index] for column in columns)) for index, (tone, name, _) in enumerate(STACK)
    )
    uncounted = 0.0
    if counted_from is not None:
        uncounted = round(max(0.0, (counted_from.timestamp() / seconds - first) * step), 1)
    return Histogram(
        bars=tuple(bars),
        labels=_make_labels(numbers, seconds, step),
        lines=tuple(Line(_y(value, top), value) for value in (0, top // 2, top)),
        total=sum(map(sum, columns)),
        totals=totals,
        step=say_length(seconds),
        uncounted=uncounted,
    )


def say_length(seconds: int) -> str:
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {name}s" if count > 1 else name
    return f"{seconds} seconds" if seconds > 1 else "second"


def _sum_up(outcomes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sum(outcomes.get(one, 0) for one in meant) for _, _, meant in STACK)


def _stack(column: tuple[int, ...], top: int) -> tuple[Part, ...]:
    parts, below = [], 0
    for count, (tone, _, _) in zip(column, STACK, strict=True):
        if count:
            upper, lower = _y(below + count, top), _y(below, top)
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
            moment = dt.datetime.fromtimestamp(number * seconds, dt.UTC)
            labels.append(Label(round(_LEFT + index * step, 1), _say_moment(moment, seconds * every)))
    return tuple(labels)


def _say_moment(moment: dt.datetime, apart: int) -> str:
    if apart >= 86_400:
        return f"{moment:%-d %b}"
    is_midnight = (moment.hour, moment.minute, moment.second) == (0, 0, 0)
    return f"{moment:%-d %b}" if is_midnight else f"{moment:%H:%M}" if apart >= 60 else f"{moment:%H:%M:%S}"


def _y(value: int, top: int) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top, 1)
