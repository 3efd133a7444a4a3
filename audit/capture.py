"""What of a call's content is kept beside its event, at which level. Pure, no Django.

`digest`: nothing but the keyed digest in the event. `summary`: names, types and sizes, no value. `full`: all of it,
without what audit.redaction takes out; what is larger than MOST_BYTES is cut down to its summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from audit.redaction import Path, redact

MOST_BYTES = 64 * 1024
# Of a summary: what has more is an object used as a table, whose names are values.
MOST_LISTED = 100
_LONGEST_NAME = 64
# What MCP knows (2026-07-28, ContentBlock). Anything else could be a text in disguise.
_CONTENT_TYPES = frozenset({"text", "image", "audio", "resource", "resource_link"})


class Level(StrEnum):
    DIGEST = "digest"
    SUMMARY = "summary"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Capture:
    """What to keep, where it is more than digests. `paths` are the administrators' own, of arguments."""

    level: Level
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What is kept: a JSON object, one of `arguments`, `result` and `error` in it. Never in a log: it has no repr."""

    level: Level
    is_cut: bool
    data: bytes = field(repr=False)


def capture_arguments(capture: Capture, arguments: Mapping[str, Any]) -> Content:
    size = _measure(arguments)
    if capture.level is Level.FULL and size <= MOST_BYTES:
        return _keep(Level.FULL, "arguments", redact(arguments, capture.paths))
    return _keep(Level.SUMMARY, "arguments", _describe_members(arguments), size, is_cut=capture.level is Level.FULL)


def capture_answer(capture: Capture, document: Mapping[str, Any]) -> Content:
    """Keep the result or the error of a JSON-RPC response."""
    result = document.get("result")
    name, answer = ("result", result) if isinstance(result, dict) else ("error", document.get("error"))
    size = _measure(answer)
    if capture.level is Level.FULL and size <= MOST_BYTES:
        # What was an argument may come back anywhere in it.
        return _keep(Level.FULL, name, redact(answer, capture.paths, anywhere=True))
    shape = _describe_result(result) if isinstance(result, dict) else _describe_error(answer)
    return _keep(Level.SUMMARY, name, shape, size, is_cut=capture.level is Level.FULL)


def _keep(level: Level, name: str, content: Any, size: int | None = None, *, is_cut: bool = False) -> Content:
    document = {name: content} if size is None else {name: content, "size": size}
    return Content(level, is_cut, orjson.dumps(document))


def _measure(content: Any) -> int:
    return len(orjson.dumps(content))


def _describe_members(members: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name[:_LONGEST_NAME]: _describe(value) for name, value in list(members.items())[:MOST_LISTED]}
    more = len(members) - MOST_LISTED
    return {**shown, "…": {"type": "more", "size": more}} if more > 0 else shown


def _describe_result(result: Mapping[str, Any]) -> dict[str, Any]:
    shape = _describe_members({name: value for name, value in result.items() if name not in ("content", "isError")})
    if "isError" in result:
        shape["isError"] = result["isError"] is True
    if isinstance(content := result.get("content"), list):
        shape["content"] = [_describe_block(block) for block in content[:MOST_LISTED]]
    return shape


def _describe_block(block: Any) -> dict[str, Any]:
    kind = block.get("type") if isinstance(block, dict) else None
    return {"type": kind if kind in _CONTENT_TYPES else "other", "size": _measure(block)}


def _describe_error(error: Any) -> dict[str, Any]:
    code = error.get("code") if isinstance(error, dict) else None
    return {"code": code if isinstance(code, int) else None, "size": _measure(error)}


def _describe(value: Any) -> dict[str, Any]:
    """Return a value's JSON type; of a text how many characters it has, of a list or an object how many entries."""
    match value:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string", "size": len(value)}
        case list():
            return {"type": "array", "size": len(value)}
    return {"type": "object", "size": len(value)}
