"""A call's arguments as somebody reads them before saying yes: all of them, and nothing that hides or pretends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def show_arguments(arguments: Any) -> list[tuple[str, str]]:
    """Return each argument with its value as text."""
    if not isinstance(arguments, Mapping):
        return []
    return [(_make_visible(str(name)), _make_visible(_write(value))) for name, value in arguments.items()]


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _make_visible(text: str) -> str:
    """Spell out what has no width or turns the direction of writing: it could make one text look like another."""
    return "".join(one if one.isprintable() or one == "\n" else f"\\u{ord(one):04x}" for one in text)
