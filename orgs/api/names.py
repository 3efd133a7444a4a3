"""The API's names are camelCase, as the hosted service's are; the code's are not."""

from __future__ import annotations

_REFERENCES = {"application", "group", "integration", "owner", "user"}


def to_camel(name: str) -> str:
    first, *rest = name.split("_")
    # Python keeps the word `class` for itself.
    return ("class" if first == "klass" else first) + "".join(part.capitalize() for part in rest)


def to_field(name: str) -> str:
    """Return what the API calls a model's field: references are given by identifier."""
    return f"{to_camel(name)}Id" if name in _REFERENCES else to_camel(name)
