"""Charts of calls, denials, failures and latency: right numbers, bounded reads, and nobody else's."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client
from django.utils.html import strip_tags

from audit.services.roll_up import roll_up
from audit.services.seal import seal_events
from orgs.explorer import walk
from orgs.models import Membership
from orgs.services.checkpoint_keys import sign_checkpoint
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_application, make_call, make_capability, make_integration, make_member

CHARTS = "/admin/audit/auditevent/charts/"


def read_table(browser: Client, **asked: str) -> dict[str, tuple[int, int, int]]:
    answer = browser.get(CHARTS, asked)
    assert answer.status_code == 200
    rows = [row["one"] for row in answer.context["series"]]
    return {one.name: (one.total.calls, one.total.denied, one.total.failed) for one in rows}


def test_charts_count_calls_denials_and_failures_by_integration_and_application(cast: Cast, carol: Client) -> None:
    linear = make_capability(make_integration(cast.acme, "linear"), "list")
    for outcome in ("ok", "ok", "denied", "error_remote"):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome)
    make_call(make_application(cast.acme, "Triage"), cast.bob, linear, "ok")
    make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(days=3))
    make_call(cast.spy_bot, cast.mallory, make_capability(cast.globex_github), "denied")
    assert read_table(carol) == {"github": (4, 1, 1), "linear": (1, 0, 0)}
    assert read_table(carol, by="application") == {"PR-Bot": (4, 1, 1), "Triage": (1, 0, 0)}
    assert read_table(carol, period="week") == {"github": (5, 1, 1), "linear": (1, 0, 0)}


def test_charts_draw_lines_and_say_the_same_in_a_table(cast: Cast, carol: Client) -> None:
    for hours in (1, 2, 2, 9):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(hours=hours))
    answer = carol.get(CHARTS)
    calls, denied, _, latency = answer.context["charts"]
    assert [chart.title for chart in answer.context["charts"]] == ["Calls", "Denied", "Failed", "Latency"]
    assert calls.lines[0].path.count("M") == 1
    assert len(latency.lines) == 2
    assert latency.lines[1].is_dashed
    assert sum(measure.calls for _, _, measure, _, _ in answer.context["rows"]) == 4
    assert {(p50, p95) for _, _, _, p50, p95 in answer.context["rows"]} == {("12 ms", "12 ms")}
    assert denied.lines[0].name == "github"
    words = " ".join(strip_tags(answer.content.decode()).split())
    assert "github 4 0 0 12 ms 12 ms" in words


def test_charts_of_counted_hours_are_those_of_the_events(cast: Cast, carol: Client) -> None:
    for hours in (1, 2, 3, 4, 30):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(hours=hours))
        make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied", ago=dt.timedelta(hours=hours))
    live = [carol.get(CHARTS, {"period": "week", "by": by}).context["rows"] for by in ("integration", "application")]
    assert sum(row[2].calls for row in live[0]) == 10
    seal_events(sign=sign_checkpoint)
    roll_up(seconds=9)
    counted = [carol.get(CHARTS, {"period": "week", "by": by}).context["rows"] for by in ("integration", "application")]
    assert counted == live


def test_charts_say_how_far_they_counted(cast: Cast, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "SECONDS", 0)
    for minutes in (1, 100, 200, 300, 400):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(minutes=minutes))
    answer = carol.get(CHARTS)
    assert answer.context["counted"].counted_from is not None
    assert "Counted back to" in answer.content.decode()


def test_charts_without_calls_say_so(cast: Cast, carol: Client) -> None:
    assert "No application called anything in this time" in carol.get(CHARTS).content.decode()


@pytest.mark.parametrize("asked", [{"by": "x"}, {"period": "x"}, {"organization": "x"}])
def test_charts_of_nothing_known_are_refused(cast: Cast, carol: Client, asked: dict[str, str]) -> None:
    assert carol.get(CHARTS, asked).status_code == 400
    assert carol.get(CHARTS, {"organization": str(cast.globex.pk)}).status_code == 400


@pytest.mark.parametrize(("role", "status"), [("auditor", 200), ("policy_author", 403)])
def test_charts_are_for_those_who_read_the_whole_trail(cast: Cast, role: str, status: int) -> None:
    person = make_member(cast.acme, "Somebody", role=Membership.Role(role))
    person.is_staff = True
    person.save()
    assert sign_in(person).get(CHARTS).status_code == status
