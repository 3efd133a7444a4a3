"""Which protocol era a request belongs to, and what a 2026-07-28 request must say of itself.

From 2026-07-28 on each request stands alone and repeats parts of its body in headers, for routers that don't read
bodies. The rules are decided on the body, so headers that say something else are refused rather than trusted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from enum import Enum
from typing import Any

from gateway.errors import HeaderMismatchError, InvalidParamsError, UnsupportedVersionError
from gateway.mcp.messages import Message

MODERN_VERSIONS = ("2026-07-28",)
LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"

# The member of params that Mcp-Name repeats.
_NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_SENTINEL, _SENTINEL_END = "=?base64?", "?="


class Era(Enum):
    """LEGACY is 2025-11-25 and older (initialize, sessions); MODERN is 2026-07-28 (stateless)."""

    LEGACY = "legacy"
    MODERN = "modern"


def get_era(version_header: str | None, message: Message | None) -> Era:
    """Return the era of a request: its own `_meta` says so first, then the header. No header is an older client."""
    if message is not None and VERSION_KEY in message.meta:
        return Era.MODERN
    return Era.LEGACY if version_header is None or version_header in LEGACY_VERSIONS else Era.MODERN


def check_modern_request(message: Message, headers: Mapping[str, str]) -> None:
    """Raise the error that 2026-07-28 prescribes where envelope and headers are not as they must be."""
    meta = message.meta
    if VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
        raise InvalidParamsError(f"params._meta must be an object with {' and '.join(missing)}")
    version = meta[VERSION_KEY]
    if headers.get("mcp-protocol-version") != version:
        raise HeaderMismatchError("the MCP-Protocol-Version header differs from the version in params._meta")
    if headers.get("mcp-method") != message.method:
        raise HeaderMismatchError("the Mcp-Method header differs from the method in the body")
    named = message.params.get(_NAMES.get(message.method or "", ""))
    if named is not None and decode_header(headers.get("mcp-name")) != named:
        raise HeaderMismatchError("the Mcp-Name header differs from the name in the body")
    check_modern_version(version)


def check_modern_version(version: object) -> None:
    if version not in MODERN_VERSIONS:
        raise UnsupportedVersionError(
            "this protocol version is not supported",
            details={"supported": list(MODERN_VERSIONS), "requested": version},
        )


def has_client_capability(message: Message, *path: str) -> bool:
    """Tell whether a modern request declares this capability of its client."""
    node: Any = message.meta.get(CAPABILITIES_KEY)
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return False
        node = node[key]
    return True


def decode_header(value: str | None) -> str | None:
    """Return what a header says: itself, or the text in its `=?base64?…?=`. Malformed base64 equals nothing."""
    if value is None or not (value.startswith(_SENTINEL) and value.endswith(_SENTINEL_END)):
        return value
    encoded = value[len(_SENTINEL) : -len(_SENTINEL_END)]
    try:
        decoded = base64.b64decode(encoded, validate=True)
        # Only the canonical encoding: two spellings of one name would pass different routers differently.
        return decoded.decode() if base64.b64encode(decoded).decode() == encoded else None
    except (binascii.Error, UnicodeDecodeError):
        return None
