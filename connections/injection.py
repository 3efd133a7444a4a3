"""How a secret becomes the headers of a request to the integration. Pure: the data plane does this for every call."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from connections.filling import fill, find_names

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
# What the HTTP connection and the protocol are steered by: a key has no business there.
_RESERVED = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie"}
    | {"expect", "host", "keep-alive", "origin", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an integration's requests are authenticated: compiled with its facts, applied to each call.

    `member` is the member of the stored credential that stands for `{token}`, empty where there is none. `before` and
    `after` are the template around it, `template` is set where more than the token stands in it. `extra` are further
    headers with their templates.
    """

    member: str
    name: str = ""
    before: str = ""
    after: str = ""
    template: str = ""
    basic: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def is_bearer(self) -> bool:
        """Tell whether the token goes as RFC 6750 has it."""
        return (self.name, self.before, self.after, self.template) == ("Authorization", "Bearer ", "", "")


def make_recipe(
    *,
    auth_mode: str,
    key_header: str,
    key_template: str,
    key_basic: str = "",
    api_headers: Mapping[str, str] = MappingProxyType({}),
    dialect: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """Compile what an integration's row says. With OAuth, its dialect may name another header than usual."""
    extra = tuple(api_headers.items())
    if auth_mode == "none":
        return Recipe("", extra=extra)
    if auth_mode == "oauth":
        oauth = dialect.get("oauth", {})
        member, key_header = "access_token", oauth.get("header", "Authorization")
        key_template, key_basic = oauth.get("template", "Bearer {token}"), ""
    else:
        member = "key"
    before, is_split, after = key_template.partition("{token}")
    if not is_split or "{" in before + after:
        return Recipe(member, key_header, template=key_template, basic=key_basic, extra=extra)
    return Recipe(member, key_header, before, after, extra=extra)


def build_headers(recipe: Recipe, secret: bytes) -> dict[str, str]:
    """Return the headers that authenticate a request. `secret` is the JSON plaintext of a Credential.

    Raises ValueError, with nothing of the secret in it, for a secret that doesn't fit the mode or a header.
    """
    if not recipe.member:
        return dict(recipe.extra)
    try:
        document = orjson.loads(secret)
        value = str(document[recipe.member])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the stored credential has no {recipe.member}: it is of another auth mode") from None
    check_value(value)
    if not (recipe.template or recipe.extra):
        return {recipe.name: recipe.before + value + recipe.after}
    return _fill_all(recipe, value, document.get("values") or {})


def _fill_all(recipe: Recipe, token: str, values: dict[str, str]) -> dict[str, str]:
    values = {**values, "token": token}
    if recipe.basic:
        values["basic"] = base64.b64encode(fill(recipe.basic, values).encode()).decode()
    own = fill(recipe.template, values) if recipe.template else recipe.before + token + recipe.after
    headers = {name: fill(template, values) for name, template in recipe.extra}
    headers[recipe.name] = own
    lacking = find_names(recipe.template, *(template for _, template in recipe.extra)) - set(values)
    if lacking or not all(map(_VALUE.match, headers.values())):
        raise ValueError("the stored credential lacks a part that the integration's headers need")
    return headers


def check_value(value: str) -> None:
    """Raises ValueError for a secret that can't be part of a header: it could begin a header of its own."""
    if not _VALUE.match(value):
        raise ValueError("a secret must be of printable ASCII characters, without spaces at its ends")


def check_header(name: str, template: str, *, fields: Collection[str] = ("token",)) -> None:
    """Raises ValueError for a header that can't carry a key, or must not.

    `fields` are what the template may hold, one of them at least.
    """
    check_header_name(name)
    if not find_names(template) & set(fields) or not find_names(template) <= set(fields) or not _VALUE.match(template):
        words = " or ".join(f"{{{field}}}" for field in fields)
        raise ValueError(f"the template must hold {words}, and only printable ASCII characters")


def check_header_name(name: str) -> None:
    lowered = name.lower()
    if not _TOKEN.match(name) or lowered in _RESERVED or lowered.startswith(("mcp-", "x-forwarded-")):
        raise ValueError(f"{name[:64]!r} can't be a header that Kontext adds")
