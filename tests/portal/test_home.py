"""Home: what waits, and what acted, of one person in one organization."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client

from connections.models import Capability, Connection, Integration
from kontext.portal.errands import read_errands
from orgs.models import Application, Membership, User
from tests.factories import Cast, allow_integration, make_application, make_call, make_connection, make_integration

SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _consent(cast: Cast) -> None:
    cast.delegation.resources = [cast.github.resource]
    cast.delegation.save()


def errands(cast: Cast) -> list[tuple[str, str, tuple[str, ...]]]:
    membership = Membership.objects.get(user=cast.alice)
    return [(one.kind, str(one.integration), one.applications) for one in read_errands(membership)]


def test_errands_name_what_applications_find_missing(cast: Cast) -> None:
    assert errands(cast) == [("connect", "Github", ("PR-Bot",))]
    make_connection(cast.github, cast.alice)
    assert errands(cast) == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Connection.Status.REAUTHORIZATION_REQUIRED, "reconnect"), (Connection.Status.ERROR, "wait")],
)
def test_errands_put_what_broke_first(cast: Cast, status: str, kind: str) -> None:
    broken = make_integration(cast.acme, "zulip")
    make_connection(broken, cast.alice, status=status)
    assert errands(cast) == [(kind, "Zulip", ()), ("connect", "Github", ("PR-Bot",))]


@pytest.mark.parametrize("status", [Connection.Status.PENDING, Connection.Status.REVOKED])
def test_errands_count_what_was_never_finished_or_was_ended_as_missing(cast: Cast, status: str) -> None:
    make_connection(cast.github, cast.alice, status=status)
    assert errands(cast) == [("connect", "Github", ("PR-Bot",))]


def test_errands_leave_out_what_needs_nobodys_own_account(cast: Cast) -> None:
    for auth_mode in (Integration.AuthMode.SERVER_TOKEN, Integration.AuthMode.NONE):
        Integration.objects.update(auth_mode=auth_mode)
        assert errands(cast) == []


def test_errands_leave_out_integrations_that_are_switched_off(cast: Cast) -> None:
    make_connection(cast.github, cast.alice, status=Connection.Status.ERROR)
    Integration.objects.update(status=Integration.Status.DISABLED)
    assert errands(cast) == []


def test_errands_leave_out_other_peoples_connections(cast: Cast) -> None:
    make_connection(cast.github, cast.alice)
    make_connection(cast.github, cast.bob, status=Connection.Status.REAUTHORIZATION_REQUIRED)
    assert errands(cast) == []


def test_home_offers_to_connect_what_is_missing(cast: Cast, sign_in: SignIn) -> None:
    page = sign_in(cast.alice).get("/").content.decode()
    assert f'action="/connections/{cast.github.pk}/connect/"' in page
    assert "Until then PR-Bot can" in page


def test_home_counts_the_last_seven_days_by_application(cast: Cast, sign_in: SignIn) -> None:
    other = make_application(cast.acme, "Release notes")
    allow_integration(other, cast.github)
    for days in (0, 0, 3, 9):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(days=days))
    make_call(other, cast.alice, cast.create_issue, "denied")
    make_call(cast.pr_bot, cast.bob, cast.create_issue)
    answer = sign_in(cast.alice).get("/")
    chart = answer.context["chart"]
    assert (chart.names, chart.total) == (("PR-Bot", "Release notes"), 4)
    assert [day.counts for day in chart.days] == [(0, 0)] * 3 + [(1, 0)] + [(0, 0)] * 2 + [(2, 1)]
    assert "1 denied" in answer.content.decode()


def test_home_of_a_newcomer_says_what_comes_first(cast: Cast, sign_in: SignIn) -> None:
    page = sign_in(cast.bob).get("/").content.decode()
    for words in ("Nothing waits for you", "No application acts for you yet", "Go to Connections"):
        assert words in page
    assert "/admin/" not in page


def test_home_of_an_administrator_leads_on(cast: Cast, sign_in: SignIn) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(status=Application.Status.PENDING)
    Capability.objects.filter(pk=cast.create_issue.pk).update(status=Capability.Status.HELD)
    browser = sign_in(cast.carol)
    answer = browser.get("/")
    page = answer.content.decode()
    assert "1 application waits for approval" in page
    assert "1 changed capability is held" in page
    assert [step.is_done for step in answer.context["steps"]] == [False, True, True, False]
    for link in [*answer.context["steps"], *answer.context["duties"]]:
        assert browser.get(link.address).status_code == 200


def test_home_without_sign_in_leads_there(client: Client) -> None:
    assert client.get("/")["Location"] == "/signin/?next=/"
