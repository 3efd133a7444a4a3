"""Read an organization's facts through the ORM: one query for each kind of fact, in one consistent view."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from joserfc.jwk import ECKey

from audit.capture import Capture, Level
from audit.models import PayloadKey
from audit.redaction import parse_paths
from connections.injection import make_recipe
from connections.models import ApplicationIntegration, Capability, Integration
from connections.models.integrations import RECIPE_FIELDS
from gateway.facts import (
    ApplicationFacts,
    CapabilityFacts,
    DelegationFacts,
    IntegrationFacts,
    PersonFacts,
    Snapshot,
)
from orgs.models import (
    Application,
    Delegation,
    GroupMembership,
    IssuedToken,
    Membership,
    Organization,
    SigningKey,
    SnapshotVersion,
)
from orgs.vault import derive_key
from policy.approvals import get_topic, make_grant
from policy.compile import load_policy
from policy.engine import Grant, Grants, Topic
from policy.models import Approval


@dataclass(frozen=True, slots=True)
class Built:
    """What was read, and the version of the database at which it was. None: there is no such organization."""

    version: int
    snapshot: Snapshot | None


def build_snapshot(organization_id: str) -> Built:
    """Return the organization as the database has it now."""
    key = UUID(organization_id)
    # Made on first use, hence not inside the reading transaction.
    digest_key = _find_digest_key(key)
    with one_view():
        version = read_version(key)
        organization = Organization.objects.filter(pk=key).first()
        if organization is None or digest_key is None:
            return Built(version, None)
        facts = {name: read(key) for name, read in READERS.items()}
    is_active = organization.is_active
    facts |= {"organization_id": organization_id, "version": version, "is_active": is_active, "digest_key": digest_key}
    return Built(version, Snapshot(**facts))


def update_snapshot(former: Snapshot, fields: Iterable[str], version: int) -> Built:
    """Return the snapshot with these fields read again. The caller knows that, up to `version`, no others changed."""
    key = UUID(former.organization_id)
    with one_view():
        facts = {name: READERS[name](key) for name in fields}
    return Built(version, replace(former, version=version, **facts))


def read_version(organization_id: UUID) -> int:
    versions = SnapshotVersion.objects.filter(organization_id=organization_id).values_list("version", flat=True)
    return versions.first() or 0


def read_signing_keys(system: UUID) -> tuple[Mapping[str, ECKey], int]:
    """Return every public key that may have signed a token still good, by `kid`, and the version of that."""
    with one_view():
        rows = SigningKey.objects.values_list("kid", "public_jwk")
        return {kid: ECKey.import_key(jwk) for kid, jwk in rows}, read_version(system)


@contextmanager
def one_view() -> Iterator[None]:
    """Let every query see the database at the same moment."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _find_digest_key(organization_id: UUID) -> bytes | None:
    if not Organization.objects.filter(pk=organization_id).exists():
        return None
    return derive_key(organization_id, "arguments-digest")


def _read_integrations(organization_id: UUID) -> Mapping[str, IntegrationFacts]:
    names = ("id", "slug", "name", "url", "category", "status", *RECIPE_FIELDS)
    rows = Integration.objects.for_organization(organization_id)
    captures = {key: _make_capture(*found) for key, *found in rows.values_list("id", *_CAPTURE)}
    return {row["slug"]: _make_integration(**row, capture=captures[row["id"]]) for row in rows.values(*names)}


def _make_integration(*, id: UUID, status: str, **rest: Any) -> IntegrationFacts:
    recipe = make_recipe(**{name: rest[name] for name in RECIPE_FIELDS})
    facts = {name: rest[name] for name in rest.keys() - set(RECIPE_FIELDS)} | {"auth_mode": rest["auth_mode"]}
    return IntegrationFacts(id=str(id), is_active=status == Integration.Status.ACTIVE, recipe=recipe, **facts)


_CAPTURE = ("capture_level", "redacted_paths", "organization__capture_level", "organization__redacted_paths")


def _make_capture(own: str, own_paths: list[str], common: str, common_paths: list[str]) -> Capture | None:
    level = Level(own or common)
    return Capture(level, parse_paths([*common_paths, *own_paths])) if level is not Level.DIGEST else None


def _count_erasures(organization_id: UUID) -> int:
    return PayloadKey.objects.filter(organization_id=organization_id, erased_at__isnull=False).count()


def _read_capabilities(organization_id: UUID) -> Mapping[tuple[str, str, str], CapabilityFacts]:
    names = ("name", "kind", "klass", "status", "digest")
    rows = Capability.objects.for_organization(organization_id).order_by().values("integration_id", *names)
    return {(str(row.pop("integration_id")), row["kind"], row["name"]): CapabilityFacts(**row) for row in rows}


def _read_applications(organization_id: UUID) -> Mapping[str, ApplicationFacts]:
    allowed: defaultdict[UUID, set[str]] = defaultdict(set)
    pairs = ApplicationIntegration.objects.for_organization(organization_id)
    for application, integration in pairs.values_list("application_id", "integration_id"):
        allowed[application].add(str(integration))
    rows = Application.objects.for_organization(organization_id).order_by()
    return {
        client_id: ApplicationFacts(
            id=str(key),
            client_id=client_id,
            name=(name or client_id)[:255],
            integrations=frozenset(allowed[key]),
            is_active=status == Application.Status.ACTIVE,
        )
        for key, client_id, name, status in rows.values_list("id", "client_id", "name", "status")
    }


def _read_people(organization_id: UUID) -> Mapping[str, PersonFacts]:
    groups: defaultdict[UUID, set[str]] = defaultdict(set)
    for user, group in GroupMembership.objects.for_organization(organization_id).values_list("user_id", "group_id"):
        groups[user].add(str(group))
    memberships = Membership.objects.for_organization(organization_id).select_related("user")
    names = ("status", "user__id", "user__name", "user__email", "user__username", "user__is_active")
    return {
        str(key): PersonFacts(
            id=str(key),
            name=(name or email or username)[:255],
            groups=frozenset(groups[key]),
            is_active=is_active and status == Membership.Status.ACTIVE,
        )
        for status, key, name, email, username, is_active in memberships.values_list(*names)
    }


def _read_delegations(organization_id: UUID) -> Mapping[tuple[str, str], DelegationFacts]:
    names = ("user_id", "application_id", "granted_at", "expires_at", "paused_at")
    rows = Delegation.objects.for_organization(organization_id).usable().order_by().values_list(*names)
    return {
        (str(user), str(application)): DelegationFacts(
            granted_at=granted_at.timestamp(),
            expires_at=_as_seconds(expires_at),
            is_paused=paused_at is not None,
        )
        for user, application, granted_at, expires_at, paused_at in rows
    }


def _read_revoked(organization_id: UUID) -> frozenset[str]:
    revoked = IssuedToken.objects.for_organization(organization_id).revoked_and_unexpired().order_by()
    return frozenset(str(jti) for jti in revoked.values_list("jti", flat=True))


def _read_grants(organization_id: UUID) -> Grants:
    """Read the approvals that calls pass by without a question to the database: all but those for one call."""
    grants: defaultdict[Topic | str, list[Grant]] = defaultdict(list)
    for row in Approval.objects.for_organization(organization_id).standing():
        grant = make_grant(row)
        grants[grant.rule or get_topic(row)].append(grant)
    return {key: tuple(found) for key, found in grants.items()}


def _as_seconds(moment: dt.datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


READERS: dict[str, Callable[[UUID], Any]] = {
    "policy": load_policy,
    "integrations": _read_integrations,
    "capabilities": _read_capabilities,
    "applications": _read_applications,
    "people": _read_people,
    "delegations": _read_delegations,
    "revoked": _read_revoked,
    "grants": _read_grants,
    "erasures": _count_erasures,
}
