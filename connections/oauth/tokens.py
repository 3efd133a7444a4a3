"""The back channel: codes and refresh tokens become access tokens (RFC 6749), and tokens end (RFC 7009).

What went wrong is told apart by who can mend it: the person (InvalidGrantError), an administrator
(ClientRejectedError), or nobody but time (TokenEndpointUnavailableError).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

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
from connections.filling import fill, follow
from connections.oauth.clients import Client, safe_error_code
from connections.oauth.dialect import STANDARD, Dialect, OAuth, Revocation

_LIMITS = egress.Limits(seconds=15, body_bytes=256 * 1024)
# RFC 6749 §5.2 names the first; the others are what well-known servers say instead.
_GRANT_IS_OVER = frozenset({"invalid_grant", "bad_refresh_token", "bad_verification_code", "invalid_refresh_token"})
_MAX_LIFETIME = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint granted. `scopes` is None when it said nothing: granted is then what was asked.

    `told` is the whole answer: a dialect may find more in it than the tokens.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: dt.datetime | None = None
    scopes: tuple[str, ...] | None = None
    account: str = ""
    told: Mapping[str, Any] = field(default_factory=dict, repr=False)


def exchange_code(
    token_endpoint: str,
    client: Client,
    *,
    code: str,
    redirect_uri: str,
    code_verifier: str,
    resource: str,
    dialect: Dialect = STANDARD,
) -> Tokens:
    oauth = dialect.oauth
    form: dict[str, str | int] = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if oauth.pkce:
        form["code_verifier"] = code_verifier
    document = _request_tokens(token_endpoint, client, {**form, **oauth.token_parameters}, resource, oauth)
    granted = follow(document, oauth.token_path) if oauth.token_path else document
    return _parse_tokens(granted if isinstance(granted, dict) else {}, oauth, told=document)


def refresh_tokens(
    token_endpoint: str,
    client: Client,
    *,
    refresh_token: str,
    resource: str,
    scopes: Iterable[str] = (),
    dialect: Dialect = STANDARD,
) -> Tokens:
    """Renew. Scope is left out where it need not be sent: the server then grants what it granted before (RFC 6749 §6),
    whatever we ask for nowadays. `scopes` are those that were granted.
    """
    oauth = dialect.oauth
    form: dict[str, str | int] = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    if oauth.refresh_sends_scopes and (scope := oauth.scope_separator.join(scopes)):
        form["scope"] = scope
    form |= oauth.refresh_parameters
    document = _request_tokens(oauth.refresh_url or token_endpoint, client, form, resource, oauth)
    # Where tokens are nested in the answer to a code, they need not be in this one.
    granted = follow(document, oauth.token_path) if oauth.token_path else None
    return _parse_tokens(granted if isinstance(granted, dict) else document, oauth, told=document)


def revoke_token(
    revocation_endpoint: str,
    client: Client,
    *,
    token: str,
    hint: str,
    style: Revocation | None = None,
    values: Mapping[str, str] | None = None,
) -> None:
    """Return once the server has confirmed. Raises RevocationFailedError otherwise.

    `style` is how the service departs from RFC 7009; `values` fill its templates.
    """
    how = style or Revocation(url=revocation_endpoint)
    known = {**(values or {}), "token": token, "hint": hint, "client_secret": client.client_secret}
    known["client_id"] = client.client_id
    try:
        response = _send_revocation(revocation_endpoint, client, how, known)
        if response.is_success and how.ok and follow(response.json(), how.ok) is not True:
            raise RevocationFailedError("the service answered that it did not end the token")
    except EgressError as error:
        raise RevocationFailedError(str(error)) from None
    if not response.is_success:
        raise RevocationFailedError(f"the revocation endpoint answered {response.status}")


def _send_revocation(url: str, client: Client, how: Revocation, values: Mapping[str, str]) -> egress.Response:
    template = how.json or how.form or ({} if how.is_empty else {"token": "{token}", "token_type_hint": "{hint}"})
    body = {name: fill(text, values) for name, text in template.items()}
    headers = {"Authorization": fill(how.authorization, values)}
    if how.authorization == "client":
        body, headers = client.authenticate(body)
    elif how.authorization == "basic":
        headers = Client(client.client_id, client.client_secret, "client_secret_basic").authenticate({})[1]
    if how.json:
        return egress.post_json(url, body, headers=headers, limits=_LIMITS)
    if how.is_empty:
        return egress.request(how.method, url, headers={"Accept": "application/json", **headers}, limits=_LIMITS)
    return egress.post_form(url, body, headers=headers, limits=_LIMITS)


def _request_tokens(
    token_endpoint: str, client: Client, grant: Mapping[str, str | int], resource: str, oauth: OAuth
) -> dict[str, Any]:
    wanted = {**grant, **({"resource": resource} if resource else {})}
    document: dict[str, Any]
    try:
        if oauth.token_format == "json":  # noqa: S105
            proof, headers = client.authenticate({})
            # Who takes JSON checks its members: one that is not asked for may be one too many.
            body = wanted if headers else {**wanted, **proof}
            response = egress.post_json(token_endpoint, body, headers=headers, limits=_LIMITS)
        else:
            texts = {name: str(value) for name, value in wanted.items()}
            form, headers = client.authenticate(texts)
            response = egress.post_form(token_endpoint, form, headers=headers, limits=_LIMITS)
        document = response.json()
    except DestinationRefusedError as error:
        raise ClientRejectedError(str(error)) from None
    except EgressError as error:
        raise TokenEndpointUnavailableError(str(error)) from None
    if not response.is_success or "error" in document:
        raise _explain_refusal(response.status, safe_error_code(document.get("error")), oauth.grant_errors)
    return document


def _explain_refusal(status: int, error: str, grant_errors: tuple[str, ...]) -> TokenRequestError:
    text = f"the token endpoint answered {status} {error}".rstrip()
    if status >= 500 or status in (408, 429) or error in ("temporarily_unavailable", "server_error", "slow_down"):
        return TokenEndpointUnavailableError(text, provider_error=error)
    if error in _GRANT_IS_OVER or error in grant_errors:
        return InvalidGrantError(text, provider_error=error)
    if error:
        return ClientRejectedError(text, provider_error=error)
    return TokenEndpointUnavailableError(text)


def _parse_tokens(document: dict[str, Any], oauth: OAuth, *, told: Mapping[str, Any]) -> Tokens:
    access_token, refresh_token = document.get("access_token"), document.get("refresh_token") or ""
    if not isinstance(access_token, str) or not access_token or not isinstance(refresh_token, str):
        raise TokenEndpointUnavailableError("the token endpoint answered without an access token")
    if str(document.get("token_type") or "bearer").lower() not in oauth.token_types:
        raise ClientRejectedError("the token endpoint gave a token of a type that Kontext can't use")
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_at=_find_expiry(document, oauth),
        scopes=_parse_scopes(document.get("scope"), oauth),
        account=_find_account(document),
        told=told,
    )


def _find_expiry(document: dict[str, Any], oauth: OAuth) -> dt.datetime | None:
    """Return when the token ends, as the answer says in its own way; else by what is known of the service."""
    expires_at = _parse_expiry(document.get("expires_in"))
    if expires_at is None and oauth.expires_at:
        expires_at = _parse_moment(document.get(oauth.expires_at))
    return expires_at or _parse_expiry(oauth.lifetime)


def _parse_expiry(expires_in: object) -> dt.datetime | None:
    try:
        seconds = int(str(expires_in))
    except ValueError:
        return None
    return timezone.now() + dt.timedelta(seconds=min(seconds, _MAX_LIFETIME)) if seconds > 0 else None


def _parse_moment(text: object) -> dt.datetime | None:
    try:
        moment = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _parse_scopes(scope: object, oauth: OAuth) -> tuple[str, ...] | None:
    if not isinstance(scope, str) or not scope.strip():
        return None
    separators = r"[\s,]+" if oauth.scope_separator == "," else r"\s+"
    return tuple(entry[:255] for entry in re.split(separators, scope.strip()) if entry)


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
