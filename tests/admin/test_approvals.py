"""Approvals and requests for rules in the admin: all to see, and to answer what is an administrator's to answer."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from orgs.models import Membership
from policy.models import Approval, Rule, RuleRequest
from policy.services.request_rule import request_rule
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_member, make_rule
from tests.portal.test_approvals import TITLE, ask, refuse


@pytest.fixture
def waiting(cast: Cast) -> dict[str, Approval]:
    make_rule(cast.acme, "org", "ask", klass="write")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "user", "ask", user=cast.alice)
    return {approval.layer: approval for approval in ask(cast)}


@pytest.fixture
def request_of_alice(cast: Cast) -> RuleRequest:
    make_rule(cast.acme, "user", "allow", user=cast.alice)
    membership = Membership.objects.get(organization=cast.acme, user=cast.alice)
    return request_rule(membership=membership, call=refuse(cast), number=0, note="For the release")


def test_list_shows_all_and_arguments_only_to_who_answers(waiting: dict[str, Approval], carol: Client) -> None:
    page = carol.get("/admin/policy/approval/").content.decode()
    assert waiting["org"].code in page
    assert waiting["user"].code in page
    assert TITLE in carol.get(f"/admin/policy/approval/{waiting['org'].pk}/change/").content.decode()
    of_alice = carol.get(f"/admin/policy/approval/{waiting['user'].pk}/change/").content.decode()
    assert TITLE not in of_alice
    assert "Shown to whoever answers" in of_alice


def test_approve_and_withdraw_are_recorded(cast: Cast, waiting: dict[str, Approval], carol: Client) -> None:
    base = f"/admin/policy/approval/{waiting['org'].pk}"
    assert TITLE in carol.get(f"{base}/approve/").content.decode()
    carol.post(f"{base}/approve/", {"scope": "period", "lifetime": "hour"})
    row = Approval.objects.get(pk=waiting["org"].pk)
    assert (row.status, row.scope, row.settled_by) == ("approved", "period", cast.carol)
    assert AuditEvent.objects.get(type="approval.approved").user_id == cast.carol.pk
    carol.post(f"{base}/withdraw/")
    assert Approval.objects.get(pk=row.pk).status == "withdrawn"


def test_deny_stores_why(waiting: dict[str, Approval], carol: Client) -> None:
    carol.post(f"/admin/policy/approval/{waiting['org'].pk}/deny/", {"reason": "Not in the freeze"})
    row = Approval.objects.get(pk=waiting["org"].pk)
    assert (row.status, row.answer) == ("denied", "Not in the freeze")


def test_answer_for_another_layer_or_by_who_only_looks_is_refused(cast: Cast, waiting: dict[str, Approval]) -> None:
    auditor = make_member(cast.acme, "Audrey", role=Membership.Role.AUDITOR)
    auditor.is_staff = True
    auditor.save()
    carol, audrey, mallory = sign_in(cast.carol), sign_in(auditor), sign_in(cast.mallory)
    forms = {"approve": {"scope": "once", "lifetime": "hour"}, "deny": {"reason": "x"}}
    for action, form in forms.items():
        path = "/admin/policy/approval/{}/{}/"
        assert carol.post(path.format(waiting["user"].pk, action), form).status_code == 403
        assert audrey.post(path.format(waiting["org"].pk, action), form).status_code == 403
        assert mallory.post(path.format(waiting["org"].pk, action), form).status_code in (302, 404)
    assert set(Approval.objects.values_list("status", flat=True)) == {"pending"}


def test_request_is_accepted(cast: Cast, request_of_alice: RuleRequest, carol: Client) -> None:
    base = f"/admin/policy/rulerequest/{request_of_alice.pk}"
    assert "For the release" in carol.get(f"{base}/change/").content.decode()
    assert "PR-Bot may use github:create_issue" in carol.get(f"{base}/accept/").content.decode()
    carol.post(f"{base}/accept/")
    rule = Rule.objects.get(layer="org")
    assert (rule.application, rule.created_by) == (cast.pr_bot, cast.carol)
    request_of_alice.refresh_from_db()
    assert (request_of_alice.status, request_of_alice.rule) == ("accepted", rule)


def test_request_is_declined_with_a_reason(request_of_alice: RuleRequest, carol: Client) -> None:
    base = f"/admin/policy/rulerequest/{request_of_alice.pk}"
    assert "This field is required" in carol.post(f"{base}/decline/", {"reason": ""}).content.decode()
    carol.post(f"{base}/decline/", {"reason": "Use Release notes"})
    request_of_alice.refresh_from_db()
    assert (request_of_alice.status, request_of_alice.answer) == ("declined", "Use Release notes")
    assert not Rule.objects.filter(layer="org").exists()


def test_request_that_nobody_answered_in_time_is_shown_as_expired(request_of_alice: RuleRequest, carol: Client) -> None:
    RuleRequest.objects.update(expires_at=timezone.now())
    base = f"/admin/policy/rulerequest/{request_of_alice.pk}"
    page = carol.get(f"{base}/change/").content.decode()
    assert "Expired" in page
    assert "Waits for an answer" not in page
    assert f"{base}/accept/" not in page
    carol.post(f"{base}/accept/")
    assert not Rule.objects.filter(layer="org").exists()
