"""The API's names are camelCase, as the hosted service's are; the code's are not."""

from __future__ import annotations


def to_camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
