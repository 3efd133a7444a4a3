"""The OpenAPI document: complete, valid, without a warning, and the same for everyone."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.validation import validate_schema

from tests.e2e.tenancy.routes import all_routes

PUBLIC = {"/api/v1/schema", "/api/v1/docs"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/api/v1/schema")
    assert response.status_code == 200
    found: dict[str, Any] = json.loads(response.content)
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_schema_is_valid_and_made_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_schema_that_is_served_is_valid(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]


def test_schema_has_every_route(document: dict[str, Any]) -> None:
    served = {route.template for route in all_routes() if route.template.startswith("/api/v1/")} - PUBLIC
    assert set(document["paths"]) == served


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    identifiers = []
    for path, method, operation in operations(document):
        named = f"{method} {path}"
        identifiers.append(operation["operationId"])
        assert operation.get("summary"), named
        assert operation["security"] == [{"oauth2": ["management:all"]}], named
        assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"]), named
        assert ("404" in operation["responses"]) == ("{" in path), named
        assert len(operation["tags"]) == 1, named
    assert len(identifiers) == len(set(identifiers))


def test_every_error_has_the_shape_that_is_sent(document: dict[str, Any]) -> None:
    for response in document["components"]["responses"].values():
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}
    assert set(document["components"]["schemas"]["Error"]["required"]) == {"message", "statusCode", "code", "requestId"}


def test_every_body_refuses_unknown_fields(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert schemas[name]["additionalProperties"] is False, f"{method} {path}"


def test_documentation_page_runs_nothing_inline() -> None:
    response = Client().get("/api/v1/docs")
    assert response.status_code == 200
    assert b"/api/v1/schema" in response.content
    assert b"<script>" not in response.content
    assert b"<style" not in response.content
