"""What pictures of numbers share: how high a value stands, and the lines that say what is how high."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    y: float
    value: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from 0, at `floor`, up to `most`, at `top`, in the units of the SVG's view box. Make it with `fit`."""

    top: int
    floor: int
    most: int

    def y(self, value: float) -> float:
        return round(self.floor - (self.floor - self.top) * value / self.most, 1)

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(self.y(value), value) for value in (0, self.most // 2, self.most))


def fit(most: int, *, top: int, floor: int) -> Scale:
    """Return the scale that has room for this much, up to a round number."""
    return Scale(top, floor, _round_up(most))


def _round_up(value: int) -> int:
    """Return the next even 1, 2, 4, 6, 8 or 10 times a power of ten, so that the middle line has a whole number."""
    power = 1
    while value > 10 * power:
        power *= 10
    return next(step * power for step in (2, 4, 6, 8, 10) if value <= step * power)
