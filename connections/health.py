"""What fails now, or will within days, and who can mend it: the person, an administrator, or the service."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from connections.models import Connection, Integration, Revocation
from orgs.models import Organization

_UNCONFIRMED = dt.timedelta(hours=1)


class Mender(StrEnum):
    """Who must act."""

    PERSON = "person"
    ADMINISTRATOR = "administrator"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`breaks_at` is None for what fails already."""

    integration: str
    person: str = ""
    account: str = ""
    problem: str
    remedy: str
    mender: Mender
    breaks_at: dt.datetime | None = None
    connection_id: UUID | None = None


def examine(organization: Organization, *, ahead: dt.timedelta) -> list[Finding]:
    """Return what is wrong or will be within `ahead`: what fails already first, then by time."""
    found = [*_examine_integrations(organization), *_examine_connections(organization, ahead)]
    found += _examine_revocations(organization)
    now = timezone.now()
    return sorted(found, key=lambda finding: (finding.breaks_at or now, finding.integration, finding.person))


def _examine_integrations(organization: Organization) -> Iterator[Finding]:
    rows = Integration.objects.for_organization(organization).exclude(status=Integration.Status.DISABLED)
    keyed = Connection.objects.filter(organization=organization, user__isnull=True, status=Connection.Status.ACTIVE)
    with_key = set(keyed.values_list("integration_id", flat=True))
    for row in rows:
        if row.discovery_error:
            yield _about(row, f"the last discovery failed: {row.discovery_error}", "discover it again in the admin")
        elif row.status == Integration.Status.DRAFT:
            yield _about(row, "it is a draft: nobody can connect it", "discover it in the admin")
        if row.auth_mode == Integration.AuthMode.SERVER_TOKEN and row.pk not in with_key:
            yield _about(row, "it has no key of the organization", "enter one in the admin")


def _about(integration: Integration, problem: str, remedy: str) -> Finding:
    return Finding(integration=integration.slug, problem=problem, remedy=remedy, mender=Mender.ADMINISTRATOR)


def _examine_connections(organization: Organization, ahead: dt.timedelta) -> Iterator[Finding]:
    rows: QuerySet[Connection] = Connection.objects.for_organization(organization)
    live = rows.exclude(status__in=(Connection.Status.REVOKED, Connection.Status.PENDING))
    for row in live.select_related("integration", "user").order_by("pk"):
        finding = _examine_connection(row, timezone.now() + ahead)
        if finding is not None:
            yield finding


def _examine_connection(row: Connection, horizon: dt.datetime) -> Finding | None:
    if row.status == Connection.Status.REAUTHORIZATION_REQUIRED:
        problem = f"the integration no longer accepts it ({row.error or 'no reason given'})"
        return _of(row, problem, "reconnect it in the portal", Mender.PERSON, None)
    if row.status == Connection.Status.ERROR:
        problem = f"the integration refuses Kontext as a client ({row.error or 'no reason given'})"
        return _of(row, problem, "check the client ID and secret in the admin", Mender.ADMINISTRATOR, None)
    if row.refresh_failures:
        problem = f"it could not be renewed {row.refresh_failures} times ({row.error})"
        return _of(row, problem, "it is tried again by itself", Mender.SERVICE, row.expires_at)
    if row.expires_at is not None and row.expires_at < horizon and not row.is_renewable:
        return _of(row, "it ends, and nothing can renew it", "reconnect it before", Mender.PERSON, row.expires_at)
    return None


def _of(row: Connection, problem: str, remedy: str, mender: Mender, breaks_at: dt.datetime | None) -> Finding:
    return Finding(
        integration=row.integration.slug,
        person=str(row.user) if row.user else "",
        account=row.account,
        problem=problem,
        remedy=remedy,
        mender=mender,
        breaks_at=breaks_at,
        connection_id=row.pk,
    )


def _examine_revocations(organization: Organization) -> Iterator[Finding]:
    rows = Revocation.objects.for_organization(organization)
    late = rows.filter(status=Revocation.Status.PENDING, created_at__lt=timezone.now() - _UNCONFIRMED)
    for row in late:
        problem = f"the end of access is unconfirmed after {row.attempts} attempts ({row.error or 'no answer yet'})"
        yield _of_receipt(row, problem, "it is tried again by itself", Mender.SERVICE)
    for row in rows.filter(status=Revocation.Status.FAILED):
        problem = f"the end of access was never confirmed ({row.error or 'no answer'})"
        yield _of_receipt(row, problem, "remove Kontext at the integration by hand", Mender.ADMINISTRATOR)


def _of_receipt(row: Revocation, problem: str, remedy: str, mender: Mender) -> Finding:
    return Finding(integration=row.integration, account=row.account, problem=problem, remedy=remedy, mender=mender)
