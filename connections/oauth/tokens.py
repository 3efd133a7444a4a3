"""The back channel: codes and refresh tokens become access tokens (RFC 6749), and tokens end (RFC 7009).

What went wrong is told apart by who can mend it: the person (InvalidGrantError), an administrator
(ClientRejectedError), or nobody but time (TokenEndpointUnavailableError).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from connections import egress
from connections.errors import (
    ClientRejectedError,
    DestinationRefusedError,
    EgressError,
    InvalidGrantError,
    RevocationFailedError,
    TokenEndpointUnavailableError,
    TokenRequestError,
)
from connections.oauth.clients import Client, safe_error_code

_LIMITS = egress.Limits(seconds=15, body_bytes=256 * 1024)
# RFC 6749 §5.2 names the first; the others are what well-known servers say instead.
_GRANT_IS_OVER = frozenset({"invalid_grant", "bad_refresh_token", "bad_verification_code", "invalid_refresh_token"})
_MAX_LIFETIME = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint granted. `scopes` is None when it said nothing: granted is then what was asked."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: dt.datetime | None = None
    scopes: tuple[str, ...] | None = None
    account: str = ""


def exchange_code(
    token_endpoint: str, client: Client, *, code: str, redirect_uri: str, code_verifier: str, resource: str
) -> Tokens:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
    }
    return _request_tokens(token_endpoint, client, form, resource)


def refresh_tokens(token_endpoint: str, client: Client, *, refresh_token: str, resource: str) -> Tokens:
    """Scope is left out: the server then grants what it granted before (RFC 6749 §6), whatever we ask for nowadays."""
    return _request_tokens(
        token_endpoint, client, {"grant_type": "refresh_token", "refresh_token": refresh_token}, resource
    )


def revoke_token(revocation_endpoint: str, client: Client, *, token: str, hint: str) -> None:
    """Return once the server has confirmed. Raises RevocationFailedError otherwise."""
    form, headers = client.authenticate({"token": token, "token_type_hint": hint})
    try:
        response = egress.post_form(revocation_endpoint, form, headers=headers, limits=_LIMITS)
    except EgressError as error:
        raise RevocationFailedError(str(error)) from None
    if not response.is_success:
        raise RevocationFailedError(f"the revocation endpoint answered {response.status}")


def _request_tokens(token_endpoint: str, client: Client, grant: dict[str, str], resource: str) -> Tokens:
    form, headers = client.authenticate({**grant, **({"resource": resource} if resource else {})})
    try:
        response = egress.post_form(token_endpoint, form, headers=headers, limits=_LIMITS)
        document = response.json()
    except DestinationRefusedError as error:
        raise ClientRejectedError(str(error)) from None
    except EgressError as error:
        raise TokenEndpointUnavailableError(str(error)) from None
    if not response.is_success or "error" in document:
        raise _explain_refusal(response.status, safe_error_code(document.get("error")))
    return _parse_tokens(document)


def _explain_refusal(status: int, error: str) -> TokenRequestError:
    text = f"the token endpoint answered {status} {error}".rstrip()
    if status >= 500 or status in (408, 429) or error in ("temporarily_unavailable", "server_error", "slow_down"):
        return TokenEndpointUnavailableError(text, provider_error=error)
    if error in _GRANT_IS_OVER:
        return InvalidGrantError(text, provider_error=error)
    if error:
        return ClientRejectedError(text, provider_error=error)
    return TokenEndpointUnavailableError(text)


def _parse_tokens(document: dict[str, Any]) -> Tokens:
    access_token, refresh_token = document.get("access_token"), document.get("refresh_token") or ""
    if not isinstance(access_token, str) or not access_token or not isinstance(refresh_token, str):
        raise TokenEndpointUnavailableError("the token endpoint answered without an access token")
    if str(document.get("token_type", "bearer")).lower() != "bearer":
        raise ClientRejectedError("the token endpoint gave a token of a type that Kontext can't use")
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_at=_parse_expiry(document.get("expires_in")),
        scopes=_parse_scopes(document.get("scope")),
        account=_find_account(document),
    )


def _parse_expiry(expires_in: object) -> dt.datetime | None:
    try:
        seconds = int(str(expires_in))
    except ValueError:
        return None
    return timezone.now() + dt.timedelta(seconds=min(seconds, _MAX_LIFETIME)) if seconds > 0 else None


def _parse_scopes(scope: object) -> tuple[str, ...] | None:
    return tuple(entry[:255] for entry in scope.split()) if isinstance(scope, str) and scope.strip() else None


def _find_account(document: dict[str, Any]) -> str:
    """Return how the provider calls the account, for people to recognize: nothing is decided by it.

    An ID token received directly from the token endpoint needs no signature check for that (OpenID Connect §3.1.3.7).
    """
    claims = _read_claims(document.get("id_token"))
    candidates: Iterable[object] = (claims.get(name) for name in ("email", "preferred_username", "name", "sub"))
    return next((str(value)[:255] for value in candidates if isinstance(value, str) and value), "")


def _read_claims(id_token: object) -> dict[str, Any]:
    if not isinstance(id_token, str) or id_token.count(".") != 2:
        return {}
    payload = id_token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
