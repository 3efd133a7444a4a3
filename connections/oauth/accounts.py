"""Whose account it is, and what else its service says of it: for people to recognize, nothing is decided by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connections import egress
from connections.errors import DiscoveryError, EgressError, MalformedResponseError
from connections.filling import check_kind, fill, follow
from connections.oauth.dialect import Call, Dialect, Parameter
from connections.oauth.metadata import check_endpoint

_LIMITS = egress.Limits(seconds=5, body_bytes=64 * 1024)
_NAMES = ("email", "preferred_username", "login", "username", "name", "sub", "id")


@dataclass(frozen=True, slots=True)
class Profile:
    """An account's name, empty when the service doesn't say, and the parameters that calls for it need."""

    account: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def find_account(userinfo_endpoint: object, access_token: str) -> str:
    """Ask the server's own userinfo endpoint (OpenID Connect §5.3). An empty string when it doesn't say."""
    if not isinstance(userinfo_endpoint, str) or not userinfo_endpoint:
        return ""
    headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
    try:
        response = egress.request("GET", check_endpoint(userinfo_endpoint), headers=headers, limits=_LIMITS)
        claims = response.json() if response.is_success else {}
    except (DiscoveryError, EgressError):
        return ""
    return next((str(claims[name])[:255] for name in _NAMES if isinstance(claims.get(name), str | int)), "")


def find_profile(
    dialect: Dialect,
    *,
    told: Mapping[str, Any],
    redirected: Mapping[str, str],
    headers: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Profile:
    """Return what the service says of an account that was just connected.

    `told` is the answer of the token endpoint, `redirected` the query that the browser brought, `headers` authenticate
    a call, `secrets` fill the templates of one. A service that can't be asked gives no name; a parameter that is
    missing or no such thing raises MalformedResponseError, since no call could be made without it.
    """
    values = dict(dialect.values)
    values |= _pick(dialect.find_parameters("token"), told)
    values |= _pick(dialect.find_parameters("redirect"), redirected)
    asked = _ask(dialect.account, {**values, **secrets}, headers)
    values |= _pick(dialect.find_parameters("account"), asked)
    for name, parameter in dialect.find_parameters("call").items():
        answer = _ask(Call(url=parameter.url), {**values, **secrets}, headers)
        values |= _pick({name: parameter}, answer)
    account = follow(asked, dialect.account.path) if dialect.account is not None and dialect.account.path else None
    return Profile(str(account)[:255] if isinstance(account, str | int) else "", values)


def send_call(call: Call, values: Mapping[str, str], headers: Mapping[str, str]) -> egress.Response:
    """Send a declared call. Raises EgressError."""
    sent = {"Accept": "application/json", **headers}
    if call.authorization:
        sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
    if call.authorization not in ("", "none"):
        sent["Authorization"] = fill(call.authorization, values)
    try:
        url = check_endpoint(fill(call.url, values))
    except DiscoveryError as error:
        raise MalformedResponseError(str(error)) from None
    if call.form:
        form = {name: fill(text, values) for name, text in call.form.items()}
        return egress.post_form(url, form, headers=sent, limits=_LIMITS)
    if call.json:
        document = {name: fill(text, values) for name, text in call.json.items()}
        return egress.post_json(url, document, headers=sent, limits=_LIMITS)
    body = call.body.encode() if call.body else None
    if body is not None:
        sent["Content-Type"] = "application/json"
    return egress.request(call.method, url, headers=sent, body=body, limits=_LIMITS)


def parse_answer(response: egress.Response) -> Any:
    """Return the JSON in an answer, of whatever kind, or None."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None


def _ask(call: Call | None, values: Mapping[str, str], headers: Mapping[str, str]) -> Any:
    if call is None:
        return None
    try:
        response = send_call(call, values, headers)
    except EgressError:
        return None
    document = parse_answer(response) if response.is_success else None
    return None if call.ok and follow(document, call.ok) is not True else document


def _pick(wanted: Mapping[str, Parameter], document: Any) -> dict[str, str]:
    return {name: _check(name, parameter, follow(document, parameter.path)) for name, parameter in wanted.items()}


def _check(name: str, parameter: Parameter, found: object) -> str:
    """Return a parameter as the service told it, once it is known to be of its kind: it goes into URLs and headers."""
    value = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    try:
        check_kind(value, parameter.kind)
        if parameter.kind == "url":
            check_endpoint(value)
    except (ValueError, DiscoveryError) as error:
        raise MalformedResponseError(f"the service did not say {name} as it should: {error}") from None
    return value
