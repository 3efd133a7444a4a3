"""Text with placeholders: `https://{subdomain}.zendesk.com`. What fills them is checked before, by its kind. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

# What may stand for a placeholder: nothing that could lead a URL to another host or end a header.
KINDS = {
    "word": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z"),
    "host": re.compile(r"(?=.{1,253}(?::\d+)?\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?\Z"),
    "path": re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9/._~-]{0,253}[A-Za-z0-9])?\Z"),
    "url": re.compile(r"https?://[A-Za-z0-9\-._~:/?\[\]@!*+,=%&]{1,490}\Z"),
}
_WORDS = {
    "word": "letters, digits, dots, hyphens and underscores, such as acme",
    "host": "a host name, such as acme.example.com",
    "path": "a path without a slash at its ends, such as sql",
    "url": "an address beginning with https://",
}


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values in. A placeholder that nothing fills stays."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def find_names(*templates: str) -> set[str]:
    return {name for template in templates for name in _PLACEHOLDER.findall(template)}


def check_kind(value: str, kind: str) -> None:
    """Raises ValueError, without the value, for what can't stand in its place."""
    if not KINDS[kind].match(value):
        raise ValueError(f"it must be {_WORDS[kind]}")


def follow(document: Any, path: str) -> Any:
    """Return what a path like `data.viewer.email` or `[0].tenantName` leads to in a JSON document, or None."""
    for name, index in _STEP.findall(path):
        if index:
            document = document[int(index)] if isinstance(document, list) and int(index) < len(document) else None
        else:
            document = document.get(name) if isinstance(document, dict) else None
    return document
