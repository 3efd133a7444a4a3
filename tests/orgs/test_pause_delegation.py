"""A paused application keeps its tokens and gets nothing with them, until the person resumes it."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from orgs.errors import DelegationEndedError
from orgs.http import make_actor
from orgs.models import Delegation, SnapshotVersion
from orgs.services.grant_delegation import grant_delegation
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from orgs.services.revoke_delegation import revoke_delegation
from tests.factories import Cast, issue_token, make_cast, make_delegation

pytestmark = pytest.mark.django_db
RESOURCE = "https://gateway.test/mcp/github"


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def get_version(cast: Cast) -> int:
    return SnapshotVersion.objects.get(organization_id=cast.acme.pk).version


def test_pause_is_recorded_ends_no_token_and_is_announced(cast: Cast) -> None:
    _, token = issue_token(cast.pr_bot, cast.alice, RESOURCE)
    before = get_version(cast)
    assert pause_delegation(delegation=cast.delegation, actor=make_actor(user=cast.alice, application=cast.pr_bot))
    assert Delegation.objects.get(pk=cast.delegation.pk).is_paused
    assert cast.delegation.is_paused
    token.refresh_from_db()
    assert token.revoked_at is None
    assert get_version(cast) == before + 1
    event = AuditEvent.objects.get(type="delegation.paused")
    assert (event.organization_id, event.user_id, event.application_id) == (
        cast.acme.pk,
        cast.alice.pk,
        cast.pr_bot.pk,
    )
    assert event.details == {
        "delegation": str(cast.delegation.pk),
        "of_user": str(cast.alice.pk),
        "application": cast.pr_bot.client_id,
    }


def test_pause_twice_and_resume_twice_are_each_recorded_once(cast: Cast) -> None:
    assert not resume_delegation(delegation=cast.delegation)
    assert pause_delegation(delegation=cast.delegation)
    first = Delegation.objects.get(pk=cast.delegation.pk).paused_at
    assert not pause_delegation(delegation=cast.delegation)
    assert Delegation.objects.get(pk=cast.delegation.pk).paused_at == first
    assert resume_delegation(delegation=cast.delegation)
    assert not resume_delegation(delegation=cast.delegation)
    assert Delegation.objects.get(pk=cast.delegation.pk).paused_at is None
    recorded = AuditEvent.objects.filter(type__startswith="delegation.").order_by("id").values_list("type", flat=True)
    assert list(recorded) == ["delegation.paused", "delegation.resumed"]


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_pause_of_an_ended_consent_is_refused_and_changes_nothing(cast: Cast, ending: str) -> None:
    if ending == "revoked":
        revoke_delegation(delegation=cast.delegation)
    else:
        Delegation.objects.filter(pk=cast.delegation.pk).update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    with pytest.raises(DelegationEndedError):
        pause_delegation(delegation=cast.delegation)
    assert Delegation.objects.get(pk=cast.delegation.pk).paused_at is None
    assert not AuditEvent.objects.filter(type="delegation.paused").exists()


def test_pause_leaves_other_peoples_consents_alone(cast: Cast) -> None:
    bobs = make_delegation(cast.pr_bot, cast.bob)
    pause_delegation(delegation=cast.delegation)
    assert not Delegation.objects.get(pk=bobs.pk).is_paused


@pytest.mark.parametrize("host", ["127.0.0.1", "elsewhere.test"])
def test_new_consent_keeps_the_pause(cast: Cast, host: str) -> None:
    Delegation.objects.filter(pk=cast.delegation.pk).update(redirect_host="127.0.0.1")
    pause_delegation(delegation=cast.delegation)
    granted = grant_delegation(
        user=cast.alice, application=cast.pr_bot, scopes=["mcp:invoke"], resources=[RESOURCE], redirect_host=host
    )
    assert Delegation.objects.get(pk=granted.pk).is_paused


def test_new_consent_after_stopping_is_not_paused(cast: Cast) -> None:
    pause_delegation(delegation=cast.delegation)
    revoke_delegation(delegation=cast.delegation)
    granted = grant_delegation(
        user=cast.alice, application=cast.pr_bot, scopes=["mcp:invoke"], resources=[RESOURCE], redirect_host="x.test"
    )
    assert not granted.is_paused
