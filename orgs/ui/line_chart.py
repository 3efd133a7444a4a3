"""Lines over time, worked out on the server: the template only writes them down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orgs.ui.scale import fit

WIDTH, HEIGHT = 520, 170
_LEFT, _TOP, _BOTTOM = 44, 10, 22
_LABELS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its path, and a dot where a point has no neighbour to be joined with. `look` names its colour."""

    name: str
    look: str
    path: str
    dots: tuple[tuple[float, float], ...]
    is_dashed: bool


@dataclass(frozen=True, slots=True)
class Mark:
    place: float
    words: str


@dataclass(frozen=True, slots=True)
class LineChart:
    title: str
    lines: tuple[Line, ...]
    scale: tuple[Mark, ...]
    times: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT


def make_line_chart(
    title: str,
    series: Sequence[tuple[str, str, Mapping[int, float]]],
    *,
    numbers: range,
    seconds: int,
    say: Callable[[float], str],
    dashed: Sequence[str] = (),
    is_counted: bool = True,
) -> LineChart:
    """Lay out `series` (name, look, value by number of the stretch of `seconds` since 1970).

    Where something is counted, a stretch without a value has none of it: zero. Where something is measured, nothing
    is known there, and the line has a gap.
    """
    most = max((int(value) + 1 for _, _, values in series for value in values.values()), default=1)
    scale = fit(most, top=_TOP, floor=HEIGHT - _BOTTOM)
    step = (WIDTH - _LEFT) / max(len(numbers), 1)

    def x(number: int) -> float:
        return round(_LEFT + (number - numbers.start + 0.5) * step, 1)

    lines = []
    for name, look, values in series:
        known = {number: values.get(number, 0.0) for number in numbers} if is_counted else dict(values)
        points = {number: (x(number), scale.y(known[number])) for number in numbers if number in known}
        lines.append(Line(name, look, _join(points), _find_lonely(points), name in dashed))
    return LineChart(
        title,
        tuple(lines),
        tuple(Mark(line.y, say(line.value)) for line in scale.lines),
        tuple(_make_times(numbers, seconds, x)),
    )


def _join(points: Mapping[int, tuple[float, float]]) -> str:
    parts = []
    for number, (x, y) in points.items():
        parts.append(f"{'L' if number - 1 in points else 'M'}{x} {y}")
    return "".join(parts)


def _find_lonely(points: Mapping[int, tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple(place for number, place in points.items() if number - 1 not in points and number + 1 not in points)


def _make_times(numbers: range, seconds: int, x: Callable[[int], float]) -> list[Mark]:
    every = max(1, -(-len(numbers) // _LABELS))
    form = "%-d %b" if seconds * every >= 43_200 else "%H:%M" if seconds * every >= 60 else "%H:%M:%S"
    shown = list(numbers)[every // 2 :: every]
    return [Mark(x(number), f"{dt.datetime.fromtimestamp(number * seconds, dt.UTC):{form}}") for number in shown]
