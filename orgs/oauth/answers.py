"""How the machine-facing endpoints answer: never cached, readable by pages of other origins, errors with reasons."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from orgs.oauth.clients import INVALID_CLIENT
from orgs.oauth.errors import OAuthError

View = Callable[..., HttpResponseBase]

DESCRIPTIONS = {
    "invalid_client": INVALID_CLIENT,
    "invalid_grant": (
        "The code or refresh token is unknown, used, expired, of another client or redirect URI, its PKCE verifier is "
        "wrong, or the user's consent has ended: start a new authorization."
    ),
    "unauthorized_client": "This application is not registered for this grant type.",
    "unsupported_grant_type": "This grant type is not offered: see grant_types_supported in the server's metadata.",
    "invalid_scope": "A requested scope is unknown, or this application may not ask for it.",
    "invalid_request": "The request is malformed.",
}


def answer_json(data: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    return _uncached(JsonResponse(dict(data), status=status))


def answer_error(error: OAuthError) -> HttpResponse:
    response = answer_json(error.as_dict(), status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = f'Basic realm="Kontext", error="{error.code}"'
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def answer_too_many(wait: int) -> HttpResponse:
    error = OAuthError("temporarily_unavailable", f"Too many requests: try again in {wait} seconds.", status=429)
    response = answer_json({**error.as_dict(), "code": "kontext_rate_limited"}, status=429)
    response["Retry-After"] = str(wait)
    return response


def answer_toolkit(headers: Mapping[str, str], body: str | None, status: int) -> HttpResponse:
    """Pass on what oauthlib decided, with a description where it gave none."""
    if status >= 400 and body:
        error = json.loads(body)
        error.setdefault("error_description", DESCRIPTIONS.get(error.get("error", ""), ""))
        if error["error_description"] in ("", None):
            del error["error_description"]
        body = json.dumps(error)
    response = HttpResponse(body or "", status=status, content_type="application/json")
    for name, value in headers.items():
        response[name] = value
    return _uncached(response)


def readable_anywhere(view: View) -> View:
    """Let pages of any origin call this (CORS). Safe because nothing here looks at cookies."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = HttpResponse(status=204) if request.method == "OPTIONS" else view(request, *args, **kwargs)
        response["Access-Control-Allow-Origin"] = "*"
        if request.method == "OPTIONS":
            response["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
            response["Access-Control-Allow-Headers"] = "Authorization, Content-Type, MCP-Protocol-Version"
            response["Access-Control-Max-Age"] = "600"
        return response

    return answer


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    response["Pragma"] = "no-cache"
    return response
