from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEvent
from connections.models import ApplicationIntegration
from connections.services.allow_application import (
    allow_integration,
    disallow_integration,
    set_application_integrations,
)
from tests.factories import Cast, make_integration


def get_slugs(cast: Cast) -> set[str]:
    rows = ApplicationIntegration.objects.filter(application=cast.pr_bot)
    return set(rows.values_list("integration__slug", flat=True))


def test_set_replaces_what_was_allowed(cast: Cast) -> None:
    linear = make_integration(cast.acme, "linear")
    for _ in range(2):
        set_application_integrations(application=cast.pr_bot, integrations=[linear])
    assert get_slugs(cast) == {"linear"}
    details = AuditEvent.objects.get(type="application.changed").details
    assert (details["integrations_allowed"], details["integrations_disallowed"]) == (["linear"], ["github"])


def test_allow_and_disallow_one(cast: Cast) -> None:
    linear = make_integration(cast.acme, "linear")
    for _ in range(2):
        allow_integration(application=cast.pr_bot, integration=linear)
    assert get_slugs(cast) == {"github", "linear"}
    for _ in range(2):
        disallow_integration(application=cast.pr_bot, integration=linear)
    assert get_slugs(cast) == {"github"}
    assert AuditEvent.objects.filter(type="application.changed").count() == 2


def test_integration_of_another_organization_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError):
        allow_integration(application=cast.pr_bot, integration=cast.globex_github)
    with pytest.raises(ValidationError):
        set_application_integrations(application=cast.pr_bot, integrations=[cast.globex_github])
    assert get_slugs(cast) == {"github"}
    assert not AuditEvent.objects.exists()
