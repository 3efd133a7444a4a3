"""A rule as plain JSON: what audit events keep, and how two states of a rule differ."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

from policy.models import Rule

FIELDS = (
    *("layer", "effect", "user", "group", "application", "integration", "capability", "klass", "conditions"),
    *("reason", "valid_from", "valid_until", "limit_count", "limit_period", "limit_per", "mode", "is_enabled"),
)
REFERENCES = ("user", "group", "application", "integration")


def get_state(rule: Rule) -> dict[str, Any]:
    """Return every field that says what a rule means; references by identifier, times as ISO 8601."""
    return {name: _plain(getattr(rule, f"{name}_id" if name in REFERENCES else name)) for name in FIELDS}


def get_difference(former: dict[str, Any], state: dict[str, Any]) -> dict[str, list[Any]]:
    """Return what changed: `{field: [former, present]}`."""
    return {
        name: [former[name], state[name]] for name in FIELDS if write_value(former[name]) != write_value(state[name])
    }


def write_value(value: Any) -> str:
    """Return a value as JSON, the same for equal ones. To Python 1 and true are equal; to rules they are not."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, dt.datetime) else value
