"""Extension grants of the token endpoint (RFC 6749 §4.5), which floors above register in their AppConfig.ready()."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from django.http import HttpRequest

from orgs.models import Application


class GrantHandler(Protocol):
    """Answers a token request of one grant type with the response's fields, or raises orgs.oauth.errors.OAuthError.

    `application` is the client that authenticated itself, a public client that named itself, or None where the
    request names no client. An application that did not list the grant type in `grant_types` never gets here.
    The handler owns its transactions and records its own audit event; a refusal that it raises is recorded for it.
    """

    def __call__(self, request: HttpRequest, application: Application | None) -> Mapping[str, Any]: ...


_handlers: dict[str, GrantHandler] = {}


def register_grant(grant_type: str, handler: GrantHandler) -> None:
    """Serve `grant_type` (a URI) at /oauth2/token."""
    _handlers[grant_type] = handler


def find_grant(grant_type: str) -> GrantHandler | None:
    return _handlers.get(grant_type)


def get_grant_types() -> list[str]:
    return sorted(_handlers)
