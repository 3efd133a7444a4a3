"""Who may look at the content of calls in the admin, and that each look is recorded."""

from __future__ import annotations

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Membership, User
from orgs.services.erase_payloads import erase_payloads
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_call, make_member

SECRET = "zq-only-for-alice"


@pytest.fixture
def event(cast: Cast) -> AuditEvent:
    return make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"title": f"{SECRET}\u202e"}})


def page_of(event: AuditEvent) -> str:
    return f"/admin/audit/auditevent/{event.pk}/change/"


def content_of(event: AuditEvent) -> str:
    return f"/admin/audit/auditevent/{event.pk}/show-content/"


def make_reader(cast: Cast, role: str) -> User:
    user = make_member(cast.acme, "Rita Reader", role=role)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return user


def test_content_is_shown_when_asked_for_and_that_is_recorded(cast: Cast, carol: Client, event: AuditEvent) -> None:
    page = carol.get(page_of(event)).content.decode()
    assert "Kept in full, without secrets." in page
    assert SECRET not in page
    assert SECRET not in carol.get(content_of(event)).content.decode()
    assert not AuditEvent.objects.filter(type="payload.viewed").exists()

    answer = carol.post(content_of(event))

    assert f"{SECRET}\\u202e" in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    viewed = AuditEvent.objects.get(type="payload.viewed")
    assert (viewed.user_id, viewed.details["of_user"]) == (cast.carol.pk, str(cast.alice.pk))


@pytest.mark.parametrize("role", [Membership.Role.AUDITOR, Membership.Role.POLICY_AUTHOR, Membership.Role.MEMBER])
def test_content_is_not_for(cast: Cast, event: AuditEvent, role: str) -> None:
    browser = sign_in(make_reader(cast, role))
    browser.raise_request_exception = False
    for method in (browser.get, browser.post):
        answer = method(content_of(event))
        assert answer.status_code in (302, 403, 404)
        assert SECRET not in answer.content.decode()
    assert not AuditEvent.objects.filter(type="payload.viewed").exists()


def test_auditor_sees_the_event_and_that_content_was_kept(cast: Cast, event: AuditEvent) -> None:
    page = sign_in(make_reader(cast, Membership.Role.AUDITOR)).get(page_of(event)).content.decode()
    assert "Kept in full, without secrets." in page
    assert "show-content" not in page


def test_event_of_another_organization_is_not_found(cast: Cast, event: AuditEvent) -> None:
    mallory = sign_in(cast.mallory)
    assert mallory.post(content_of(event)).status_code == 404


def test_erased_content_says_so_and_is_not_offered(cast: Cast, carol: Client, event: AuditEvent) -> None:
    erase_payloads(organization=cast.acme, user=cast.alice)
    page = carol.get(page_of(event)).content.decode()
    assert "Erased on " in page
    assert "show-content" not in page
    assert carol.post(content_of(event)).status_code == 404
