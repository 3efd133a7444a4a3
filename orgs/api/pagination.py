"""Lists by keyset: a page begins after the last key of the one before, however much was added meanwhile."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.db import models

from orgs.api.errors import ManagementError

M = TypeVar("M", bound=models.Model)
DEFAULT_LIMIT = 50
HIGHEST_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    items: Sequence[M]
    next_cursor: str | None


def read_page(rows: models.QuerySet[M], *, limit: int, cursor: str, scope: str) -> Page[M]:
    """Return up to `limit` rows, the newest first (keys are UUIDv7), after the one that `cursor` names.

    `scope` says whose list this is and how it is filtered. A cursor is good for the list it came from alone.
    """
    if cursor:
        rows = rows.filter(pk__lt=_open_cursor(cursor, scope))
    found = list(rows.order_by("-pk")[: limit + 1])
    items = found[:limit]
    return Page(items, _make_cursor(items[-1].pk, scope) if len(found) > limit else None)


def _make_cursor(key: UUID, scope: str) -> str:
    return _get_signer(scope).sign(base64.urlsafe_b64encode(key.bytes).decode().rstrip("="))


def _open_cursor(cursor: str, scope: str) -> UUID:
    try:
        text = _get_signer(scope).unsign(cursor)
        return UUID(bytes=base64.urlsafe_b64decode(text + "=="))
    except (BadSignature, binascii.Error, ValueError):
        message = "The cursor is not of this list: send nextCursor of the former page unchanged, with the same filters."
        raise ManagementError(message, fields={"cursor": ["Not a cursor of this list."]}) from None


def _get_signer(scope: str) -> Signer:
    digest: Any = hashlib.sha256(scope.encode()).hexdigest()
    return Signer(salt=f"kontext.api.cursor:{digest}", sep=".")
