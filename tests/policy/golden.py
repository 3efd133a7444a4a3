"""The decision tables in tests/policy/decisions: one corpus for every path that leads to a decision.

A file has `rules`, `baselines` and `decisions`; or `conditions` by name and `tests` of whether each holds (true, false
or errs), of which each is decided as an allow, as a deny and as an ask. Names stand for rows: users and groups,
applications and integrations by what tests/factories calls them. Keys that nobody knows are refused, so that no
misspelt expectation passes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policy.engine import Call, Effect, Layer, Limit, Per, Period, Rule

FOLDER = Path(__file__).parent / "decisions"
NOW = dt.datetime(2026, 11, 25, 10, 30, tzinfo=dt.UTC)  # a Wednesday
# Who is in which group, and which class a capability has, unless a row says otherwise.
GROUPS = {"alice": frozenset({"engineering"}), "bob": frozenset({"sales"})}
CLASSES = {"create_issue": "write", "get_issue": "read", "list_issues": "read", "delete_repo": "destructive"}

_RULE_KEYS = {"layer", "effect", "user", "group", "application", "integration", "capability", "klass", "conditions"}
_RULE_KEYS |= {"reason", "from", "until", "limit", "shadow", "id"}
_READ = ("from", "until", "limit", "shadow", "layer", "effect")
_DECISION_KEYS = {"name", "effect", "layers", "deciding", "rules", "could", "why", "shadow_effect"}
_CALL_KEYS = {
    "user",
    "groups",
    "application",
    "integration",
    "capability",
    "klass",
    "arguments",
    "now",
    "address",
    "spent",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: a call and what is to come of it. None is not checked."""

    name: str
    call: Call
    effect: str
    layers: list[str] | None
    deciding: str | None
    rules: list[str] | None
    could: bool | None
    why: str | None
    shadow_effect: str | None


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    rules: list[Rule]
    baselines: dict[Layer, Effect]
    rows: list[Row] = field(default_factory=list)


def load_tables() -> list[Table]:
    return [_read_table(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _read_table(path: Path) -> Table:
    data = yaml.safe_load(path.read_text())
    if "tests" in data:
        data = _expand_tests(data, path.name)
    _check_keys(data, {"description", "rules", "baselines", "call", "decisions"}, path.name)
    return Table(
        name=path.stem,
        rules=[_read_rule(rule, path.name) for rule in data["rules"]],
        baselines={Layer(layer): Effect(effect) for layer, effect in data.get("baselines", {}).items()},
        rows=[_read_row(row, data.get("call", {}), path.name) for row in data["decisions"]],
    )


def _expand_tests(data: dict[str, Any], where: str) -> dict[str, Any]:
    """Write a table of conditions as one of rules: three capabilities for each condition."""
    _check_keys(data, {"description", "conditions", "tests"}, where)
    rules: list[dict[str, Any]] = [
        {"id": "org", "layer": "org", "effect": "allow"},
        {"id": "user", "layer": "user", "user": "alice", "effect": "allow"},
    ]
    for name, conditions in data["conditions"].items():
        for effect in Effect:
            about = {"layer": "application", "application": "pr_bot", "capability": f"{effect}_{name}"}
            rules.append({**about, "id": f"{effect}-{name}", "effect": effect.value, "conditions": conditions})
            if effect is not Effect.ALLOW:
                rules.append({**about, "id": f"{effect}-{name}-otherwise", "effect": "allow"})
    rows = [_expand_test(test, effect) for test in data["tests"] for effect in Effect]
    return {"description": data["description"], "rules": rules, "decisions": rows}


def _expand_test(test: dict[str, Any], effect: Effect) -> dict[str, Any]:
    given = dict(test)
    name, state = given.pop("of"), given.pop("is")
    assert state in (True, False, "errs"), state
    if effect is Effect.ALLOW:
        decided, layers = ("allow", "allow") if state is True else ("deny", "silent")
    else:
        decided = layers = effect.value if state else "allow"
    return {
        **given,
        "name": f"{effect} {name} {given}",
        "capability": f"{effect}_{name}",
        "effect": decided,
        "layers": ["allow", "allow", layers],
    }


def _read_rule(data: dict[str, Any], where: str) -> Rule:
    _check_keys(data, _RULE_KEYS, where)
    given = {key: value for key, value in data.items() if key not in _READ}
    return Rule(
        layer=Layer(data["layer"]),
        effect=Effect(data["effect"]),
        valid_from=_read_time(data.get("from")),
        valid_until=_read_time(data.get("until")),
        limit=_read_limit(data["limit"]) if "limit" in data else None,
        is_shadow=data.get("shadow", False),
        **given,
    )


def _read_row(data: dict[str, Any], defaults: dict[str, Any], where: str) -> Row:
    _check_keys(data, _DECISION_KEYS | _CALL_KEYS, where)
    fields = {**defaults, **{key: data[key] for key in _CALL_KEYS & set(data)}}
    user = fields.get("user", "alice")
    capability = fields.get("capability", "create_issue")
    return Row(
        name=f"{where.removesuffix('.yaml')}: {data['name']}",
        call=Call(
            user=user,
            groups=frozenset(fields["groups"]) if "groups" in fields else GROUPS.get(user, frozenset()),
            application=fields.get("application", "pr_bot"),
            integration=fields.get("integration", "github"),
            capability=capability,
            klass=fields.get("klass", CLASSES.get(capability, "write")),
            arguments=fields.get("arguments", {}),
            now=_read_time(fields.get("now")) or NOW.timestamp(),
            source_address=fields.get("address", "10.1.2.3"),
            # An hour later each of them may be used again.
            spent=dict.fromkeys(fields["spent"], NOW.timestamp() + 3600) if "spent" in fields else None,
        ),
        effect=data["effect"],
        **{key: data.get(key) for key in ("layers", "deciding", "rules", "could", "why", "shadow_effect")},
    )


def _read_limit(data: dict[str, Any]) -> Limit:
    return Limit(count=data["count"], period=Period(data["period"]), per=Per(data["per"]))


def _read_time(value: dt.datetime | None) -> float | None:
    return None if value is None else value.replace(tzinfo=value.tzinfo or dt.UTC).timestamp()


def _check_keys(data: dict[str, Any], known: set[str], where: str) -> None:
    assert set(data) <= known, f"{where}: unknown {sorted(set(data) - known)}"
