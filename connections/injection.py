"""How a secret becomes the headers of a request to the integration. Pure: the data plane does this for every call."""

from __future__ import annotations

import re

import orjson

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
# What the HTTP connection and the protocol are steered by: a key has no business there.
_RESERVED = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie"}
    | {"expect", "host", "keep-alive", "origin", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)


def build_headers(*, auth_mode: str, key_header: str, key_template: str, secret: bytes) -> dict[str, str]:
    """Return the headers that authenticate a request. `secret` is the JSON plaintext of a Credential.

    Raises ValueError, with nothing of the secret in it, for a secret that doesn't fit the mode or a header.
    """
    if auth_mode == "none":
        return {}
    try:
        document = orjson.loads(secret)
        value = str(document["access_token" if auth_mode == "oauth" else "key"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the stored credential is not one of auth mode {auth_mode}") from None
    name, template = ("Authorization", "Bearer {token}") if auth_mode == "oauth" else (key_header, key_template)
    check_value(value)
    return {name: template.replace("{token}", value)}


def check_value(value: str) -> None:
    """Raises ValueError for a secret that can't be part of a header: it could begin a header of its own."""
    if not _VALUE.match(value):
        raise ValueError("a secret must be of printable ASCII characters, without spaces at its ends")


def check_header(name: str, template: str) -> None:
    """Raises ValueError for a header that can't carry a key, or must not."""
    lowered = name.lower()
    if not _TOKEN.match(name) or lowered in _RESERVED or lowered.startswith(("mcp-", "x-forwarded-")):
        raise ValueError(f"{name[:64]!r} can't be the header that carries a key")
    if template.count("{token}") != 1 or not _VALUE.match(template):
        raise ValueError("the template must hold {token} once, and only printable ASCII characters")
