from __future__ import annotations

import datetime as dt

from django.test import Client
from django.utils import timezone

from audit.services.record import Actor, Call, Subject, record_event
from connections.models import Capability
from orgs.ids import uuid7
from orgs.models import IdentityProvider, Membership, Organization
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_application, make_connection, make_rule

HOME = "/admin/"
DENIED = {
    "effect": "deny",
    "deciding": "application",
    "sentence": "Denied by the application layer: no rule there allows it.",
    "layers": [{"layer": name, "verdict": verdict} for name, verdict in (("org", "allow"), ("application", "silent"))],
}


def record_call(organization: Organization, outcome: str, *, days_ago: int = 0, application: str = "PR-Bot") -> None:
    phase = "denied" if outcome == "denied" else "completed"
    decision = DENIED if outcome == "denied" else None
    record_event(
        type="capability.invoked",
        organization_id=organization.pk,
        outcome=outcome,
        actor=Actor(application_name=application),
        subject=Subject(integration="github", capability="create_issue"),
        call=Call(call=uuid7(), phase=phase, decision=decision),
        occurred_at=timezone.now() - dt.timedelta(days=days_ago),
    )


def test_chart_counts_what_was_done_denied_and_failed(cast: Cast, carol: Client) -> None:
    for outcome, days_ago in (("ok", 0), ("ok", 1), ("denied", 1), ("error_remote", 2), ("cancelled", 2), ("ok", 30)):
        record_call(cast.acme, outcome, days_ago=days_ago)
    record_call(cast.globex, "denied", application="Spy-Bot")
    answer = carol.get(HOME)
    chart = answer.context["chart"]
    assert chart.names == ("Done", "Denied", "Failed")
    assert [sum(day.counts[index] for day in chart.days) for index in range(3)] == [2, 1, 2]
    page = answer.content.decode()
    assert "Denied by the application layer: no rule there allows it." in page
    assert "Spy-Bot" not in page


def test_lists_what_waits_and_what_breaks(cast: Cast, carol: Client) -> None:
    waiting = make_application(cast.acme, "Newcomer", status="pending", registration_source="dcr")
    make_application(cast.globex, "Other newcomer", status="pending", registration_source="dcr")
    Capability.objects.filter(pk=cast.create_issue.pk).update(status="held")
    make_connection(cast.github, cast.alice, status="reauthorization_required")
    soon = timezone.now() + dt.timedelta(days=2)
    make_connection(cast.github, cast.bob, expires_at=soon, is_renewable=False)
    make_connection(cast.github, cast.carol, expires_at=soon, is_renewable=True)
    answer = carol.get(HOME)
    assert [row.pk for row in answer.context["waiting"]] == [waiting.pk]
    assert [row.pk for row in answer.context["held"]] == [cast.create_issue.pk]
    assert {row.user for row in answer.context["breaking"]} == {cast.alice, cast.bob}
    assert "Other newcomer" not in answer.content.decode()


def test_checklist_leads_to_a_first_governed_call_and_goes(cast: Cast, carol: Client) -> None:
    done = [step.is_done for step in carol.get(HOME).context["steps"]]
    assert done == [False, True, True, False, False, False]
    IdentityProvider.objects.create(organization=cast.acme, name="Okta", issuer="https://a.test", client_id="k")
    make_connection(cast.github, cast.alice)
    make_rule(cast.acme, "org", "allow")
    record_call(cast.globex, "ok")
    assert [step.is_done for step in carol.get(HOME).context["steps"]] == [True] * 5 + [False]
    record_call(cast.acme, "denied")
    assert carol.get(HOME).context["steps"] == []


def test_first_step_of_an_empty_installation_is_an_organization(root: Client) -> None:
    answer = root.get(HOME)
    assert [step.title for step in answer.context["steps"]] == ["Create an organization"]


def test_policy_author_sees_no_events(cast: Cast) -> None:
    record_call(cast.acme, "denied")
    cast.bob.is_staff = True
    cast.bob.save()
    Membership.objects.filter(user=cast.bob).update(role=Membership.Role.POLICY_AUTHOR)
    page = sign_in(cast.bob).get(HOME)
    assert page.context["chart"] is None
    assert "Denied lately" not in page.content.decode()


def test_navigation_offers_what_the_person_may_see(cast: Cast, carol: Client, root: Client) -> None:
    assert "Signing keys" not in carol.get(HOME).content.decode()
    assert "Signing keys" in root.get(HOME).content.decode()
    assert "Who may do what" in carol.get(HOME).content.decode()
