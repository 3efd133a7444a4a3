"""Every answer in these tests is held against the OpenAPI document: its status and its body are as described."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # comes with drf-spectacular

from orgs.api.schema import get_schema_document


def check_answer(method: str, path: str, status: int, body: Any) -> None:
    """Fail for an answer that the document does not promise. What it doesn't offer is answered with 404 or 405."""
    operation = find_operation(method, path)
    if operation is None:
        assert status in (401, 403, 404, 405), f"{method} {path} is not documented, and answers {status}"
        return
    response = operation["responses"].get(str(status))
    assert response is not None, f"{method} {path} answers {status}, which is not documented"
    if "$ref" in response:
        response = _get_document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {}).get("application/json")
    if content is None:
        assert body is None, f"{method} {path} answers {status} with a body that is not documented"
        return
    problems = [error.message for error in _get_validator(json.dumps(content["schema"])).iter_errors(body)]
    assert not problems, f"{method} {path} answers {status} otherwise than documented: {problems}"


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in _get_paths():
        if pattern.fullmatch(path):
            found: dict[str, Any] | None = operations.get(method.lower())
            return found
    return None


@cache
def _get_document() -> dict[str, Any]:
    document: dict[str, Any] = _without_nullable(json.loads(get_schema_document()))
    return document


@cache
def _get_paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    # Fixed paths first: /traces/stats is not a trace.
    ordered = sorted(_get_document()["paths"].items(), key=lambda item: "{" in item[0])
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in ordered]


@cache
def _get_validator(schema: str) -> Draft202012Validator:
    components = _get_document()["components"]
    return Draft202012Validator({**json.loads(schema), "components": components})


def _without_nullable(node: Any) -> Any:
    """Return OpenAPI 3.0's schemas as JSON Schema writes them."""
    if isinstance(node, list):
        return [_without_nullable(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _without_nullable(inner) for name, inner in node.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain
