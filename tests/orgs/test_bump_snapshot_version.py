"""The data plane hears of every change to what it reads, and of nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from connections.models import Connection
from orgs.models import IssuedToken, SnapshotVersion
from tests.factories import Cast, make_cast, make_connection, make_group, make_member, make_rule

pytestmark = pytest.mark.django_db

CHANGES: dict[str, Callable[[Cast], Any]] = {
    "organization suspended": lambda c: _set(c.acme, status="suspended"),
    "person deactivated": lambda c: _set(c.alice, is_active=False),
    "membership suspended": lambda c: c.acme.memberships.filter(user=c.alice).update(status="suspended"),
    "person left a group": lambda c: c.engineering.group_memberships.all().delete(),
    "person added": lambda c: make_member(c.acme),
    "application suspended": lambda c: _set(c.pr_bot, status="suspended"),
    "delegation revoked": lambda c: _set(c.delegation, revoked_at=timezone.now()),
    "integration disabled": lambda c: _set(c.github, status="disabled"),
    "application loses integration": lambda c: c.pr_bot.application_integrations.all().delete(),
    "capability held": lambda c: _set(c.create_issue, status="held"),
    "connection made": lambda c: make_connection(c.github, c.alice),
    "rule added": lambda c: make_rule(c.acme, "org", "allow"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_bumps_only_its_organization(change: str) -> None:
    cast = make_cast()
    acme, globex = _version(cast.acme), _version(cast.globex)
    CHANGES[change](cast)
    assert _version(cast.acme) > acme
    assert _version(cast.globex) == globex


UNREAD_CHANGES: dict[str, Callable[[Cast], Any]] = {
    "application used": lambda c: _set(c.pr_bot, last_used_at=timezone.now()),
    "refresh fenced": lambda c: Connection.objects.update(refresh_deadline=timezone.now()),
    "row saved unchanged": lambda c: c.github.save(),
    "empty group made": lambda c: make_group(c.acme, "Nobody"),
    "token issued": lambda c: _issue_token(c),
}


@pytest.mark.parametrize("change", UNREAD_CHANGES)
def test_change_that_the_data_plane_does_not_read_bumps_nothing(change: str) -> None:
    cast = make_cast()
    make_connection(cast.github, cast.alice)
    before = _version(cast.acme)
    UNREAD_CHANGES[change](cast)
    assert _version(cast.acme) == before


def test_deleted_toolkit_token_revokes_the_issued_one() -> None:
    cast = make_cast()
    token = _issue_token(cast)
    before = _version(cast.acme)
    _insert_toolkit_token(cast, token.token_checksum)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM oauth2_provider_accesstoken")
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert _version(cast.acme) > before
    assert list(IssuedToken.objects.revoked_and_unexpired()) == [token]


def _set(row: Any, **fields: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**fields)


def _version(organization: Any) -> int:
    return SnapshotVersion.objects.get(organization_id=organization.pk).version


def _issue_token(cast: Cast) -> IssuedToken:
    now = timezone.now()
    return IssuedToken.objects.create(
        organization=cast.acme,
        application=cast.pr_bot,
        user=cast.alice,
        resource="http://127.0.0.1/mcp/github",
        token_checksum="0" * 64,
        issued_at=now,
        expires_at=now + dt.timedelta(minutes=10),
    )


def _insert_toolkit_token(cast: Cast, checksum: str) -> None:
    from oauth2_provider.models import AccessToken

    AccessToken.objects.create(
        user=cast.alice,
        application=cast.pr_bot,
        token="opaque",
        expires=timezone.now() + dt.timedelta(minutes=10),
    )
    AccessToken.objects.update(token_checksum=checksum)
