"""Suspending ends a person's access at once (THREATS 38, the control plane's side)."""

from __future__ import annotations

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.errors import LastOwnerError
from orgs.models import Delegation, IssuedToken, Membership, SnapshotVersion
from orgs.services.suspend_person import (
    resume_membership,
    resume_user,
    set_role,
    suspend_membership,
    suspend_user,
)
from tests.factories import Cast, make_cast, make_member
from tests.orgs.oauth.conftest import OAuth

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def oauth(client: Client) -> OAuth:
    return OAuth(client)


def get_membership(cast: Cast) -> Membership:
    return Membership.objects.get(user=cast.alice)


@pytest.mark.parametrize("how", ["user", "membership"])
def test_suspend_ends_tokens_and_sessions(oauth: OAuth, cast: Cast, how: str) -> None:
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)
    before = SnapshotVersion.objects.get(pk=cast.acme.pk).version

    if how == "user":
        suspend_user(user=cast.alice)
    else:
        suspend_membership(membership=get_membership(cast))

    assert IssuedToken.objects.get().revoked_at is not None
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[0] == 400
    assert oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).status_code in (302, 403)
    assert SnapshotVersion.objects.get(pk=cast.acme.pk).version > before
    event = AuditEvent.objects.get(type="person.suspended")
    assert (event.organization_id, event.details["user"]) == (cast.acme.pk, str(cast.alice.pk))


def test_suspend_in_one_organization_leaves_the_other_alone(oauth: OAuth, cast: Cast) -> None:
    Membership.objects.create(organization=cast.globex, user=cast.alice)
    suspend_membership(membership=Membership.objects.get(user=cast.alice, organization=cast.globex))
    oauth.sign_in(cast.alice)
    assert oauth.get_tokens(cast.pr_bot)["access_token"]


def test_resume_lets_the_person_back_in_without_the_tokens(oauth: OAuth, cast: Cast) -> None:
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)
    suspend_membership(membership=get_membership(cast))
    suspend_user(user=cast.alice)

    resume_user(user=cast.alice)
    resume_membership(membership=get_membership(cast))

    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[0] == 400
    oauth.sign_in(cast.alice)
    assert oauth.get_tokens(cast.pr_bot)["access_token"]
    assert Delegation.objects.filter(user=cast.alice).exists()


def test_suspend_twice_records_once(cast: Cast) -> None:
    suspend_user(user=cast.alice)
    suspend_user(user=cast.alice)
    assert AuditEvent.objects.filter(type="person.suspended").count() == 1


def test_last_administrator_stays(cast: Cast) -> None:
    carol = Membership.objects.get(user=cast.carol)
    with pytest.raises(LastOwnerError):
        suspend_membership(membership=carol)
    with pytest.raises(LastOwnerError):
        suspend_user(user=cast.carol)
    with pytest.raises(LastOwnerError):
        set_role(membership=carol, role="member")
    make_member(cast.acme, "Dora", role="owner")
    suspend_membership(membership=carol)
    assert Membership.objects.get(user=cast.carol).status == "suspended"


def test_role_of_administrator_opens_the_admin(cast: Cast) -> None:
    membership = get_membership(cast)
    set_role(membership=membership, role="admin")
    cast.alice.refresh_from_db()
    assert cast.alice.is_staff
    set_role(membership=membership, role="member")
    cast.alice.refresh_from_db()
    assert not cast.alice.is_staff
    assert AuditEvent.objects.filter(type="membership.changed").count() == 2
