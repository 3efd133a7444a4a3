"""Decide a call without making it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from connections.models import Capability
from orgs.models import Application, GroupMembership, Organization, User
from policy import engine
from policy.compile import load_current_policy


def simulate(
    *,
    organization: Organization,
    user: User | None,
    application: Application,
    capability: Capability,
    arguments: Mapping[str, Any],
    now: dt.datetime | None = None,
    source_address: str = "",
) -> engine.Decision:
    """Return what the stored rules decide about a call, which `explain()` explains. Changes and records nothing.

    Without a `user` the application acts on its own. Rules alone are looked at: whether a connection, a consent or the
    capability itself would stop the call is for others to say.
    """
    call = engine.Call(
        user=str(user.pk) if user else None,
        groups=load_groups(organization, user),
        application=str(application.pk),
        integration=str(capability.integration_id),
        capability=capability.name,
        klass=capability.klass,
        arguments=arguments,
        now=(now or timezone.now()).timestamp(),
        source_address=source_address,
    )
    return load_current_policy(organization.pk).decide(call)


def load_groups(organization: Organization, user: User | None) -> frozenset[str]:
    """Return the groups of a person in an organization, as the engine names them."""
    if user is None:
        return frozenset()
    rows = GroupMembership.objects.filter(organization=organization, user=user)
    return frozenset(str(group) for group in rows.values_list("group_id", flat=True))
