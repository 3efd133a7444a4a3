"""The decision tables, through the pure engine."""

from __future__ import annotations

import json

import pytest

from policy.engine import Layer, compile_policy
from tests.policy.golden import Row, Table, load_tables

TABLES = load_tables()
ROWS = [(table, row) for table in TABLES for row in table.rows]
NAMES = {"github": "github", "slack": "slack", "pr_bot": "PR-Bot"}


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[row.name for _, row in ROWS])
def test_decide_as_the_table_says(table: Table, row: Row) -> None:
    policy = compile_policy(table.rules, baselines=table.baselines, version=7, names=NAMES)
    decision = policy.decide(row.call)
    explanation = json.loads(json.dumps(decision.explain()))

    assert decision.effect == row.effect == explanation["effect"], explanation["sentence"]
    assert decision.is_allowed == (row.effect == "allow")
    assert (decision.version, explanation["version"]) == (7, 7)
    assert [layer["layer"] for layer in explanation["layers"]] == list(Layer)
    check_expectations(row, explanation)
    could = policy.could_allow(row.call)
    assert could or row.effect == "deny"
    assert row.could in (None, could)


def check_expectations(row: Row, explanation: dict[str, object]) -> None:
    """Compare what a row says beyond its effect."""
    layers: list[dict[str, object]] = explanation["layers"]  # type: ignore[assignment]
    assert row.layers in (None, [layer["verdict"] for layer in layers])
    assert row.deciding in (None, explanation["deciding"])
    assert row.shadow_effect in (None, explanation["shadow_effect"])
    if row.rules is not None:
        named = [rule["id"] for layer in layers if _matters(layer, explanation) for rule in layer["rules"]]  # type: ignore[attr-defined]
        assert named == row.rules
    if row.why is not None:
        assert row.why in str(explanation["sentence"])


def _matters(layer: dict[str, object], explanation: dict[str, object]) -> bool:
    return explanation["deciding"] in (None, layer["layer"])
