"""What a capability's definition says: its digest, which pins it, and the class its annotations claim. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_EXACT = 2**53  # beyond it, not every integer is a float


def digest_definition(definition: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the definition as canonical JSON: order and spacing don't matter, all else does."""
    canonical = json.dumps(_normalize(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def classify_definition(definition: Mapping[str, Any]) -> str:
    """Return read, write or destructive, as the annotations claim.

    MCP's defaults are pessimistic, and so are we: what isn't read-only is destructive unless it says it isn't.
    """
    annotations = definition.get("annotations")
    hints = annotations if isinstance(annotations, Mapping) else {}
    if hints.get("readOnlyHint") is True:
        return "read"
    return "write" if hints.get("destructiveHint") is False else "destructive"


def get_title(definition: Mapping[str, Any]) -> str:
    annotations = definition.get("annotations")
    hints = annotations if isinstance(annotations, Mapping) else {}
    titles = (definition.get("title"), hints.get("title"))
    return next((title[:255] for title in titles if isinstance(title, str) and title), "")


def _normalize(value: Any) -> Any:
    """Write equal numbers alike: what was stored as jsonb comes back with 100000 for 1e5."""
    if isinstance(value, Mapping):
        return {name: _normalize(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_normalize(entry) for entry in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _normalize_number(value)
    return value


def _normalize_number(number: float) -> Any:
    if abs(number) <= _EXACT:
        return int(number) if number == int(number) else number
    try:
        return float(number)
    except OverflowError:
        return str(number)
