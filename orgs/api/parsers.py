"""JSON as strictly as it should be read: what would mean two things, or can't be stored, is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from orgs.api.errors import MalformedBodyError

_DEEPEST = 64


class StrictJSONParser(BaseParser):
    """Read one JSON object in UTF-8, of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        # `body` holds to the size limit; reading the stream, as REST framework's own parser does, would not.
        body: bytes = stream.body if hasattr(stream, "body") else stream.read()
        return read_object(body)


def read_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode(), object_pairs_hook=_read_pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError(_explain(error)) from None
    if not isinstance(found, dict):
        raise MalformedBodyError
    _check(found)
    return found


def _read_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBodyError("A JSON object in the body has the same name twice.")
    return found


def _refuse_constant(name: str) -> Any:
    raise MalformedBodyError(f"The body is not JSON: {name} is no JSON number.")


def _explain(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
    if isinstance(error, UnicodeDecodeError):
        return "The body is not JSON: it must be UTF-8."
    if isinstance(error, RecursionError):
        return f"The body is nested deeper than {_DEEPEST} levels."
    return "The body is not JSON: a number in it is too long."


def _check(found: Any) -> None:
    """Refuse what PostgreSQL can't keep (NUL, lone surrogates, infinite numbers) and what is nested without end."""
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _look_into(value)]
        if not level:
            return
    raise MalformedBodyError(f"The body is nested deeper than {_DEEPEST} levels.")


def _look_into(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise MalformedBodyError("A text in the body holds a character that can't be stored (NUL or half a pair).")
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedBodyError("A number in the body is too large.")
    return []
