from __future__ import annotations

import datetime as dt

import pytest

from orgs.ui.charts import HEIGHT, make_bar_chart

DAYS = [dt.date(2026, 11, day) for day in range(18, 25)]


def test_make_bar_chart_keeps_every_block_inside_the_picture() -> None:
    counts = {f"application {number}": [number * day for day in range(7)] for number in range(1, 9)}
    chart = make_bar_chart("Calls", DAYS, counts)
    assert chart.total == sum(map(sum, counts.values()))
    assert chart.names[-1] == "Others"
    assert len(chart.names) == 5
    assert all(block.y >= 0 and block.y + block.height <= HEIGHT and block.x >= chart.left for block in chart.blocks)
    assert max(block.x + block.width for block in chart.blocks) <= chart.width


@pytest.mark.parametrize("counts", [{}, {"PR-Bot": [0] * 7}])
def test_make_bar_chart_of_nothing_draws_the_lines_alone(counts: dict[str, list[int]]) -> None:
    chart = make_bar_chart("Calls", DAYS, counts)
    assert chart.blocks == ()
    assert chart.total == 0
    assert [line.value for line in chart.lines] == [0, 1, 2]


@pytest.mark.parametrize(("most", "top"), [(1, 2), (3, 4), (11, 20), (45, 60), (99, 100), (101, 200), (12345, 20000)])
def test_make_bar_chart_scales_to_round_numbers(most: int, top: int) -> None:
    assert make_bar_chart("Calls", DAYS, {"PR-Bot": [most] + [0] * 6}).lines[-1].value == top
