"""One function a model. Anything not given is unremarkable."""

from __future__ import annotations

import datetime as dt
import json
from itertools import count
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.capture import Content, Level
from audit.models import AuditEvent, Payload
from audit.types import EventType
from connections.models import ApplicationIntegration, Capability, Connection, Integration
from orgs.ids import uuid7
from orgs.models import Application, Delegation, Group, GroupMembership, Membership, Organization, User
from orgs.payloads import get_payload_key, seal_payload
from policy.models import Approval, Rule, RuleRequest

_numbers = count(1)


def make_organization(name: str = "", **fields: Any) -> Organization:
    number = next(_numbers)
    slug = fields.pop("slug", "") or f"organization-{number}"
    return Organization.objects.create(slug=slug, name=name or f"Organization {number}", **fields)


def make_member(
    organization: Organization, name: str = "", *, role: str = Membership.Role.MEMBER, groups: tuple[Group, ...] = ()
) -> User:
    number = next(_numbers)
    name = name or f"Person {number}"
    email = f"{name.split()[0].lower()}@{organization.slug}.test"
    is_staff = role in (Membership.Role.OWNER, Membership.Role.ADMIN)
    user = User.objects.create_user(name=name, email=email, is_staff=is_staff)
    Membership.objects.create(organization=organization, user=user, role=role)
    for group in groups:
        GroupMembership.objects.create(organization=organization, group=group, user=user)
    return user


def make_group(organization: Organization, name: str = "Engineering") -> Group:
    return Group.objects.create(organization=organization, name=name)


def make_application(organization: Organization, name: str = "PR-Bot", **fields: Any) -> Application:
    defaults = {"client_type": Application.CLIENT_PUBLIC, "redirect_uris": "http://127.0.0.1/callback"}
    return Application.objects.create(organization=organization, name=name, **{**defaults, **fields})


def make_integration(organization: Organization, slug: str = "github", **fields: Any) -> Integration:
    defaults = {"name": slug.title(), "url": f"https://{slug}.test/mcp", "status": Integration.Status.ACTIVE}
    return Integration.objects.create(organization=organization, slug=slug, **{**defaults, **fields})


def make_capability(integration: Integration, name: str = "create_issue", **fields: Any) -> Capability:
    return Capability.objects.create(
        organization=integration.organization, integration=integration, name=name, **fields
    )


def make_connection(integration: Integration, user: User | None, **fields: Any) -> Connection:
    defaults = {"status": Connection.Status.ACTIVE, "connected_at": timezone.now()}
    return Connection.objects.create(
        organization=integration.organization, integration=integration, user=user, **{**defaults, **fields}
    )


def make_delegation(application: Application, user: User, **fields: Any) -> Delegation:
    assert application.organization is not None
    return Delegation.objects.create(
        organization=application.organization,
        application=application,
        user=user,
        **{"scopes": ["mcp:invoke"], "granted_at": timezone.now(), **fields},
    )


def allow_integration(application: Application, integration: Integration) -> ApplicationIntegration:
    return ApplicationIntegration.objects.create(
        organization=integration.organization, application=application, integration=integration
    )


def make_call(
    application: Application,
    user: User | None,
    capability: Capability,
    outcome: str = "ok",
    *,
    ago: dt.timedelta = dt.timedelta(),
    content: dict[str, Any] | None = None,
    **facts: Any,
) -> AuditEvent:
    """Make the events of one call, as the gateway records them, and return the first. Without `outcome` it goes on.

    `content` is what was kept of the arguments: `{"arguments": …}`.
    """
    began = timezone.now() - ago
    is_refused = outcome in ("denied", "error_auth")
    event = AuditEvent(
        id=make_key(began),
        type=EventType.CAPABILITY_INVOKED,
        organization_id=capability.organization_id,
        call=make_key(began),
        phase="denied" if is_refused else "requested",
        outcome=outcome if is_refused else "",
        user_id=user.pk if user is not None else None,
        user_name=str(user or ""),
        application_id=application.pk,
        application_name=application.name,
        integration_id=capability.integration_id,
        integration=capability.integration.slug,
        capability=capability.name,
        occurred_at=began,
        **facts,
    )
    if content is None:
        event.save(force_insert=True)
    else:
        keep_content(event, content)
    if outcome and not is_refused:
        known = {field.attname: getattr(event, field.attname) for field in AuditEvent._meta.concrete_fields}
        completed = {
            "id": make_key(began),
            "phase": "completed",
            "outcome": outcome,
            "decision": None,
            "latency_us": 12_000,
        }
        completed["details"] = {name: value for name, value in event.details.items() if name != "payload"}
        AuditEvent(**{**known, **completed}).save(force_insert=True)
    return event


def keep_content(event: AuditEvent, content: dict[str, Any], *, level: str = "full") -> AuditEvent:
    """Return an event like this one that is in the log in its place, with content kept beside it, as the gateway does.

    `event` must not be saved yet: nothing in the log can be changed.
    """
    assert event.organization_id is not None
    assert event.call is not None
    assert event.application_id is not None
    key = get_payload_key(
        organization_id=event.organization_id, user_id=event.user_id, application_id=event.application_id
    )
    kept = Content(Level(level), False, json.dumps(content).encode())
    sealed = seal_payload(key, kept, organization_id=event.organization_id, call=event.call, phase=event.phase)
    event.details = {**event.details, "payload": sealed.note}
    event.save(force_insert=True)
    Payload.objects.create(
        call=event.call,
        phase=event.phase,
        organization_id=event.organization_id,
        key_id=key.id,
        sealed=sealed.ciphertext,
    )
    return event


def make_key(moment: dt.datetime) -> UUID:
    """Return an event's key as it is made at a moment: lists of the log find a time by their keys."""
    milliseconds, number = int(moment.timestamp() * 1000), next(_numbers)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (number & 0xFFF) << 64 | 0b10 << 62 | number)


def make_rule(organization: Organization, layer: str, effect: str, **fields: Any) -> Rule:
    return Rule.objects.create(organization=organization, layer=layer, effect=effect, **fields)


def make_approval(application: Application, user: User | None, capability: Capability, **fields: Any) -> Approval:
    """Make an open question of the organization's layer, without the arguments."""
    defaults: dict[str, Any] = {
        "layer": "org",
        "kind": "tool",
        "capability": capability.name,
        "arguments_digest": uuid7().hex.ljust(64, "0"),
        "asked_by": ["baseline"],
        "question": uuid7().hex,
        "policy_version": 1,
        "call": uuid7(),
        "code": "BCDF-GHJK",
        "expires_at": timezone.now() + dt.timedelta(hours=1),
    }
    return Approval.objects.create(
        organization=capability.organization,
        application=application,
        user=user,
        integration=capability.integration,
        **{**defaults, **fields},
    )


def make_rule_request(application: Application, asker: User, capability: Capability, **fields: Any) -> RuleRequest:
    defaults: dict[str, Any] = {
        "action": "add",
        "layer": "org",
        "proposal": uuid7().hex,
        "sentence": f"An administrator could add the rule “{application} may use {capability.name}”.",
        "call": uuid7(),
        "expires_at": timezone.now() + dt.timedelta(days=1),
    }
    return RuleRequest.objects.create(
        organization=capability.organization,
        application=application,
        asker=asker,
        integration=capability.integration,
        capability=capability.name,
        **{**defaults, **fields},
    )
