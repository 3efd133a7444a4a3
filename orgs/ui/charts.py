"""Stacked bars over days, worked out on the server: the template only writes the rectangles down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orgs.ui.scale import Line, Scale, fit

WIDTH, HEIGHT = 520, 180
_LEFT, _TOP, _BOTTOM = 30, 16, 22
_SERIES = 5
_MOST_LABELS = 7
OTHERS = "Others"


@dataclass(frozen=True, slots=True)
class Block:
    """One application's share of one day, in the units of the SVG's view box."""

    x: float
    y: float
    width: float
    height: float
    series: int | str
    words: str


@dataclass(frozen=True, slots=True)
class Day:
    """One column. Of many columns only some are labelled, the last among them: as many as there is room for."""

    label: str
    is_labelled: bool
    x: float
    total: int
    total_y: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    title: str
    names: tuple[str, ...]
    days: tuple[Day, ...]
    blocks: tuple[Block, ...]
    lines: tuple[Line, ...]
    total: int
    tones: tuple[str, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT

    @property
    def legend(self) -> list[tuple[int | str, str]]:
        return [(_look(index, self.tones), name) for index, name in enumerate(self.names)]


def make_bar_chart(
    title: str, days: Sequence[dt.date], counts: Mapping[str, Sequence[int]], *, tones: Sequence[str] = ()
) -> BarChart:
    """Lay out `counts` (a number a day, by name). Beyond four names the smallest are summed as "Others".

    With `tones` (allow, ask, deny, silent; one a name) names keep their order and have a meaning by colour.
    """
    series = {name: list(values) for name, values in counts.items()} if tones else _limit(counts, len(days))
    totals = [sum(values[index] for values in series.values()) for index in range(len(days))]
    scale = fit(max(totals, default=0), top=_TOP, floor=HEIGHT - _BOTTOM)
    step = (WIDTH - _LEFT) / max(len(days), 1)
    made_days, blocks = [], []
    for index, day in enumerate(days):
        x = _LEFT + index * step
        column = {name: values[index] for name, values in series.items()}
        blocks += _stack(day, column, round(x + step * 0.2, 1), round(step * 0.6, 1), scale, tones)
        y = round(scale.y(totals[index]) - 5, 1)
        is_labelled = (len(days) - 1 - index) % -(-len(days) // _MOST_LABELS) == 0
        made_days.append(
            Day(_label(day), is_labelled, round(x + step / 2, 1), totals[index], y, tuple(column.values()))
        )
    return BarChart(title, tuple(series), tuple(made_days), tuple(blocks), scale.lines, sum(totals), tuple(tones))


def _limit(counts: Mapping[str, Sequence[int]], length: int) -> dict[str, list[int]]:
    ranked = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    kept = {name: list(values) for name, values in ranked[: _SERIES - 1]}
    rest = [values for _, values in ranked[_SERIES - 1 :]]
    if rest:
        kept[OTHERS] = [sum(values[index] for values in rest) for index in range(length)]
    return kept


def _stack(
    day: dt.date, column: Mapping[str, int], x: float, width: float, scale: Scale, tones: Sequence[str]
) -> list[Block]:
    blocks, below = [], 0
    for index, (name, count) in enumerate(column.items()):
        if count:
            upper, lower = scale.y(below + count), scale.y(below)
            words = f"{name}, {_label(day)}: {count}"
            blocks.append(Block(x, upper, width, round(max(lower - upper - 1, 1), 1), _look(index, tones), words))
            below += count
    return blocks


def _look(index: int, tones: Sequence[str]) -> int | str:
    """Return what the style sheet calls a series by: its tone, or its number."""
    return tones[index] if tones else index + 1


def _label(day: dt.date) -> str:
    return f"{day:%a} {day.day}"
