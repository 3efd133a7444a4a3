"""The OpenAPI description, complete with every error: made from the views once a process."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

_ERRORS = {
    "400": ("InvalidRequest", "The request is malformed: `fields` says what is wrong where."),
    "401": ("AuthorizationRequired", "No valid access token for this API."),
    "403": ("Forbidden", "The token's scope, or your role in the organization, does not allow this."),
    "404": ("NotFound", "Nothing with this identifier in your organization."),
    "409": ("Conflict", "What this is about changed at the same moment, exists already, or is not sealed yet."),
    "415": ("UnsupportedMediaType", "The body is not application/json."),
    "429": ("RateLimited", "Too many requests: wait as long as `Retry-After` says."),
    "500": ("ServerError", "A fault of Kontext's: report `requestId`."),
    "502": ("IntegrationFailed", "The integration did not answer, or not as it should: `message` says how."),
    "503": ("Unavailable", "The database can't be reached: try again after `Retry-After` seconds."),
}
_DESCRIPTIONS = {"200": "As asked.", "201": "Created.", "202": "Begun.", "204": "Done; there is nothing to say."}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["message", "statusCode", "code", "requestId"],
    "properties": {
        "message": {"type": "string", "description": "What happened and what to do, for people."},
        "statusCode": {"type": "integer"},
        "code": {"type": "string", "description": "What happened, for programs.", "pattern": "^kontext_"},
        "requestId": {"type": "string", "description": "The same as in X-Request-ID and in the audit trail."},
        "fields": {
            "type": "object",
            "description": "By field, what is wrong with it.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
# Where the request waits for the integration itself.
_REACHING_OUT = ("/validate", "/connection")
_REQUEST_ID = {"description": "Names this request in the audit trail.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer"}}


class ManagementSchema(AutoSchema):
    """Reads query parameters and the tag from the view."""

    view: Any

    def get_override_parameters(self) -> list[Any]:
        query = self.view.query_serializer
        return [query] if self.method == "GET" and query().fields else []

    def get_description(self) -> str:  # type: ignore[override]
        """Return what the method says; a view's own text is for those who read the code."""
        return inspect.getdoc(getattr(self.view, self.method.lower())) or ""

    def get_tags(self) -> list[str]:
        return [self.view.tag] if self.view.tag else list(super().get_tags())


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "orgs.api.authentication.BearerAuthentication"
    name = "oauth2"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        flow = {
            "authorizationUrl": "/oauth2/authorize",
            "tokenUrl": "/oauth2/token",
            "refreshUrl": "/oauth2/token",
            "scopes": {"management:all": "Manage the organization, as far as the person may themselves."},
        }
        return {"type": "oauth2", "flows": {"authorizationCode": flow}}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        return {self.name: ["management:all"]}


def add_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Answer SPECTACULAR_SETTINGS' POSTPROCESSING_HOOKS: describe the errors each operation can answer with."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = _ERROR_SCHEMA
    components["responses"] = {name: _describe(status, text) for status, (name, text) in _ERRORS.items()}
    for path, method, operation in _walk(result):
        for status, response in operation["responses"].items():
            response["description"] = _DESCRIPTIONS[status]
            response.setdefault("headers", {})["X-Request-ID"] = _REQUEST_ID
        for status in _choose_errors(path, method):
            reference = {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}
            operation["responses"].setdefault(status, reference)
    return result


def close_inputs(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Say of every body that unknown fields are refused."""
    schemas = result.get("components", {}).get("schemas", {})
    for _, _, operation in _walk(result):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schemas[content["schema"]["$ref"].rpartition("/")[2]]["additionalProperties"] = False
    return result


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document. It is the same for everyone, so anyone may have it."""
    response = HttpResponse(get_schema_document(), content_type="application/vnd.oai.openapi+json")
    response["Cache-Control"] = "public, max-age=300"
    return response


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """The same document as a page to read."""
    return render(request, "orgs/api/docs.html", {"schema_url": reverse("management:schema")})


@cache
def get_schema_document() -> bytes:
    generated = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(generated, indent=1, default=str).encode()


def _walk(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _choose_errors(path: str, method: str) -> list[str]:
    writes = method in ("post", "put", "patch", "delete")
    chosen = ["400", "401", "403", "429", "500", "503"]
    if "{" in path:
        chosen.append("404")
    if writes and path.endswith(_REACHING_OUT):
        chosen.append("502")
    if writes or path.endswith("/inclusion-proof"):
        chosen.append("409")
    if method in ("post", "put", "patch"):
        chosen.append("415")
    return sorted(chosen)


def _describe(status: str, text: str) -> dict[str, Any]:
    headers = {"X-Request-ID": _REQUEST_ID}
    if status in ("429", "503"):
        headers["Retry-After"] = _RETRY_AFTER
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": text, "headers": headers, "content": content}
