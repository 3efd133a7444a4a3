"""Access tokens as the authorization server issues them, without a browser."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from orgs.models import Application, IssuedToken, User
from orgs.oauth.tokens import get_checksum, make_access_token, sign_access_token


def issue_token(
    application: Application,
    user: User | None,
    resource: str,
    *,
    scopes: tuple[str, ...] = ("mcp:invoke",),
    issued_at: dt.datetime | None = None,
    **changes: Any,
) -> tuple[str, IssuedToken]:
    """Return a signed token and the row that revokes it."""
    assert application.organization is not None
    token = make_access_token(
        application=application,
        organization=application.organization,
        user=user,
        resource=resource,
        scopes=scopes,
    )
    if issued_at is not None:
        changes = {"issued_at": issued_at, "expires_at": issued_at + dt.timedelta(minutes=10), **changes}
    token = replace(token, **changes)
    text = sign_access_token(token)
    row = IssuedToken.objects.create(
        jti=token.jti,
        organization=token.organization,
        application=application,
        user=user,
        scope=" ".join(scopes),
        resource=resource,
        token_checksum=get_checksum(text),
        issued_at=token.issued_at,
        expires_at=token.expires_at,
    )
    return text, row
