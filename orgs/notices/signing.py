"""Webhooks as the Standard Webhooks specification has them (standardwebhooks.com): who verifies needs nothing of ours.

`webhook-signature` has one `v1,<base64>` for each secret that holds, HMAC-SHA-256 over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
# The specification asks for 24 to 64.
_SECRET_BYTES = 32


def make_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def make_headers(message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the headers that prove a message. `timestamp` is of this try, in seconds; the ID stays the same."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(message_id, timestamp, body, key) for key in keys),
    }


def _sign(message_id: str, timestamp: int, body: bytes, key: str) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(key.removeprefix(PREFIX)), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
