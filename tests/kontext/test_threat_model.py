"""docs/threat-model.md speaks the truth: what it names is in the suite, and every attack has a number and a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROW = re.compile(r"^\| (\d+) \|.*$", re.MULTILINE)


def test_every_named_test_exists() -> None:
    missing = [f"{file}::{name}" for file, name in TEST.findall(PAGE) if not _is_in_suite(file, name)]
    assert TEST.findall(PAGE)
    assert missing == []


def test_every_attack_is_tried() -> None:
    rows = {int(row[1]): row[0] for row in ROW.finditer(PAGE)}
    assert sorted(rows) == list(range(1, 46))
    assert [number for number, row in rows.items() if not TEST.search(row)] == []


def _is_in_suite(file: str, name: str) -> bool:
    path = ROOT / "tests" / file
    return path.exists() and re.search(rf"def {name}\(", path.read_text()) is not None
