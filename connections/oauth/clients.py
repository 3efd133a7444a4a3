"""Kontext's identity at an authorization server: how it comes to be (RFC 7591) and how it is proved (RFC 6749 §2.3)."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from connections import egress
from connections.errors import EgressError, RegistrationError
from connections.oauth.metadata import AuthorizationServer

# The best we can do comes first. A server that names none is to be taken for client_secret_basic (RFC 8414 §2).
AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at one token endpoint."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    auth_method: str = "none"

    def authenticate(self, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the form and the headers that prove who is asking."""
        if self.auth_method == "client_secret_basic":
            # Both halves are form-encoded before they are joined (RFC 6749 §2.3.1).
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            # Servers built on MCP's own Python package (2.3) look the client up by the form's client_id even so.
            named = {**form, "client_id": self.client_id}
            return named, {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        if self.auth_method == "client_secret_post":
            return {**form, "client_id": self.client_id, "client_secret": self.client_secret}, {}
        return {**form, "client_id": self.client_id}, {}


def choose_auth_method(supported: Iterable[str]) -> str:
    """Raises RegistrationError when the server takes none of ours."""
    offered = set(supported)
    for method in AUTH_METHODS:
        if method in offered:
            return method
    raise RegistrationError("the authorization server supports no client authentication that Kontext has")


def register_client(
    server: AuthorizationServer, *, redirect_uri: str, scopes: Iterable[str], client_uri: str
) -> Client:
    """Register Kontext at the server. Raises RegistrationError when it refuses."""
    if not server.registration_endpoint:
        raise RegistrationError("the authorization server has no registration: enter a client ID that it gave you")
    request = describe_client(redirect_uri=redirect_uri, client_uri=client_uri)
    request["token_endpoint_auth_method"] = choose_auth_method(server.auth_methods)
    if scope := " ".join(scopes):
        request["scope"] = scope
    response = egress.post_json(server.registration_endpoint, request)
    if response.status not in (200, 201):
        raise RegistrationError(f"the authorization server refused to register Kontext ({_explain(response)})")
    return _parse_registration(response.json(), asked_for=request["token_endpoint_auth_method"])


def describe_client(*, redirect_uri: str, client_uri: str) -> dict[str, Any]:
    """Return the client metadata (RFC 7591 §2) that registration and a metadata document have in common."""
    return {
        "client_name": "Kontext",
        "client_uri": client_uri,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }


def _parse_registration(document: dict[str, Any], *, asked_for: str) -> Client:
    client_id, secret = document.get("client_id"), document.get("client_secret") or ""
    method = document.get("token_endpoint_auth_method") or (asked_for if secret else "none")
    if not isinstance(client_id, str) or not 0 < len(client_id) <= 500 or not isinstance(secret, str):
        raise RegistrationError("the authorization server answered the registration without a client ID")
    if method not in AUTH_METHODS or (method != "none" and not secret):
        raise RegistrationError("the authorization server registered Kontext with an authentication it doesn't have")
    return Client(client_id, secret, method)


def _explain(response: egress.Response) -> str:
    try:
        error = response.json().get("error")
    except EgressError:
        error = None
    return safe_error_code(error) or str(response.status)


def safe_error_code(error: object) -> str:
    """Return a provider's error code with nothing in it that could carry a secret, markup or a log line of its own."""
    if not isinstance(error, str):
        return ""
    return "".join(
        character for character in error[:64] if character.isascii() and (character.isalnum() or character in "_-.")
    )
