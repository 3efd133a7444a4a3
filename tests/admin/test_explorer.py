"""The explorer finds what an address asks for, in time, and nothing of anybody else."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import FloatField, Func, Q, TextField, Value
from django.db.models.functions import Cast as ToText
from django.db.models.lookups import Exact
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from audit.models import AuditEvent
from audit.services.record import Actor, record_event
from audit.services.roll_up import roll_up
from audit.services.seal import seal_events
from audit.types import EventType
from orgs.explorer import reading, walk
from orgs.explorer.asked import Trail, Window
from orgs.explorer.filters import FilterForm
from orgs.explorer.reading import PAGE_SIZE
from orgs.models import Membership
from orgs.services.checkpoint_keys import sign_checkpoint
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_application, make_call, make_capability, make_member

LIST = "/admin/audit/auditevent/"
TIMELINE = f"{LIST}timeline/"
HISTOGRAM = f"{LIST}histogram/"
DECISION: dict[str, Any] = {
    "effect": "deny",
    "version": 7,
    "deciding": "user",
    "sentence": "Denied by the user layer: not on Fridays.",
    "layers": ["allow", "deny", "allow"],
}


def find(browser: Client, **asked: Any) -> list[AuditEvent]:
    answer = browser.get(LIST, asked)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return [event for event, _ in answer.context["lines"]]


def read_words(answer: Any) -> str:
    return " ".join(strip_tags(answer.content.decode()).split())


def test_list_shows_one_line_a_call_of_the_last_day_with_why(cast: Cast, carol: Client) -> None:
    began = make_call(cast.pr_bot, cast.alice, cast.create_issue, decision={**DECISION, "effect": "allow"})
    make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied", decision=DECISION)
    make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(days=2))
    found = find(carol)
    assert [(event.phase, event.capability) for event in found] == [
        ("denied", "delete_repo"),
        ("completed", "create_issue"),
    ]
    page = carol.get(LIST)
    assert page.context["lines"][1][1] == began.decision
    words = read_words(page)
    assert "Denied by the user layer: not on Fridays." in words
    assert page.context["period_words"] == "Last 24 hours"
    assert len(find(carol, show="every")) == 3
    assert len(find(carol, period="week")) == 3


FILTERS: dict[str, dict[str, Any]] = {
    "type": {"type": "capability.invoked"},
    "family": {"type": "capability."},
    "outcome": {"outcome": "denied"},
    "problems": {"outcome": "problems"},
    "user": {"user": "alice adams"},
    "user by address": {"user": "alice@acme.test"},
    "user in part": {"user": "lice A"},
    "application": {"application": "PR-Bot"},
    "application in part": {"application": "r-bo"},
    "integration": {"integration": "github"},
    "capability": {"capability": "delete_repo"},
    "capability with its integration": {"capability": "github:delete_repo"},
    "capability with a star": {"capability": "delete_*"},
    "account": {"account": "alice-"},
    "session": {"session": "session-1"},
    "trace": {"trace": "0af7651916cd43dd8448eb211c80319c"},
    "traceparent": {"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    "request": {"request": "request-1"},
    "address": {"address": "10.1.2.3"},
    "network": {"address": "10.1.0.0/16"},
    "version": {"version": "7"},
    "words": {"q": "Alice"},
    "show": {"show": "calls"},
}


@pytest.fixture
def wanted(cast: Cast) -> AuditEvent:
    """One denied call with everything, and others that differ in everything."""
    facts: dict[str, Any] = {
        "account": "alice-acme",
        "session": "session-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "request_id": "request-1",
        "source_address": "10.1.2.3",
        "policy_version": 7,
        "decision": DECISION,
    }
    other = Actor(user_id=cast.bob.pk, user_name="Bob Brown", source_address="10.2.0.1", request_id="request-2")
    record_event(type=EventType.SIGNED_IN, organization_id=cast.acme.pk, actor=other)
    return make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied", **facts)


@pytest.mark.parametrize("name", FILTERS)
def test_list_with_a_filter_finds_what_it_names(wanted: AuditEvent, carol: Client, name: str) -> None:
    assert find(carol, **FILTERS[name]) == [wanted]


def test_list_with_all_filters_at_once_finds_it_and_with_one_wrong_finds_nothing(
    wanted: AuditEvent, carol: Client
) -> None:
    everything = {
        "type": "capability.invoked",
        "outcome": "denied",
        "user": str(wanted.user_id),
        "application": "PR-Bot",
        "integration": "github",
        "capability": "delete_repo",
        "account": "alice-acme",
        "session": "session-1",
        "trace": wanted.trace_id,
        "request": "request-1",
        "address": "10.0.0.0/8",
        "version": "7",
        "call": str(wanted.call),
        "q": "alice",
        "period": "hour",
        "related": str(wanted.user_id),
    }
    assert find(carol, **everything) == [wanted]
    assert find(carol, **{**everything, "version": "8"}) == []
    page = carol.get(LIST, everything)
    chosen = {one.name: one for one in page.context["chosen"]}
    assert len(chosen) == 15
    assert chosen["Source"].words == "10.0.0.0/8"
    assert "address" not in parse_qs(chosen["Source"].without)
    assert parse_qs(chosen["Source"].without)["version"] == ["7"]


BAD: dict[str, dict[str, Any]] = {
    "address": {"address": "10.1.2"},
    "call": {"call": "x"},
    "version": {"version": "-1"},
    "too large": {"version": "99999999999999999999"},
    "type": {"type": "nothing"},
    "outcome": {"outcome": "nothing"},
    "start": {"start": "yesterday"},
    "backwards": {"start": "2026-11-02T00:00", "end": "2026-11-01T00:00"},
    "nul": {"user": "a\0b"},
    "both ends": {"before": str(uuid4()), "after": str(uuid4())},
    "organization": {"organization": "x"},
    "too long": {"q": "x" * 300},
}


@pytest.mark.parametrize("page", [LIST, TIMELINE, HISTOGRAM])
@pytest.mark.parametrize("name", BAD)
def test_page_with_a_filter_that_means_nothing_says_so(carol: Client, page: str, name: str) -> None:
    answer = carol.get(page, BAD[name])
    assert answer.status_code == 400
    if page == LIST:
        assert answer.context["form"].errors
    else:
        assert b"Traceback" not in answer.content


@pytest.mark.parametrize("text", ["'; DROP TABLE x; --", "%", "_", "\\", "(((", "[a", "*", "**", "a:b:c", "\u202e"])
@pytest.mark.parametrize("name", ["q", "user", "application", "capability", "integration", "account", "session"])
def test_list_with_odd_text_answers(wanted: AuditEvent, carol: Client, name: str, text: str) -> None:
    assert carol.get(LIST, {name: text}).status_code == 200


def test_time_of_ones_own_is_from_until_before(cast: Cast, carol: Client) -> None:
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - dt.timedelta(days=3)
    made = [
        make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", ago=timezone.now() - (noon + later))
        for later in (dt.timedelta(seconds=1), dt.timedelta(minutes=30), dt.timedelta(minutes=61))
    ]
    asked = {"start": f"{noon:%Y-%m-%dT%H:%M}", "end": f"{noon + dt.timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    assert find(carol, **asked) == [made[1], made[0]]
    assert find(carol, start=asked["end"]) == [made[2]]
    assert find(carol, end=asked["end"]) == [made[1], made[0]]
    assert carol.get(LIST, asked).context["period_words"].startswith("From ")
    assert carol.get(HISTOGRAM, asked).context["histogram"].total == 2


@pytest.mark.parametrize("page", [LIST, TIMELINE, HISTOGRAM])
def test_page_about_any_time_answers(cast: Cast, carol: Client, page: str) -> None:
    for asked in ({"start": "1971-01-01T00:00"}, {"end": "8999-12-31T23:59:59"}, {"end": "1971-01-01T00:00:00"}):
        assert carol.get(page, {"account": "x", **asked}).status_code == 200
    for asked in ({"start": "0001-01-01T00:00"}, {"end": "9999-12-31T23:59:59"}):
        assert carol.get(page, asked).status_code == 400


def test_pages_follow_one_another_both_ways_without_counting(cast: Cast, carol: Client) -> None:
    made = [make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied") for _ in range(PAGE_SIZE * 2 + 5)]
    newest_first = [event.pk for event in reversed(made)]
    with CaptureQueriesContext(connection) as queries:
        first = carol.get(LIST, {"application": "PR-Bot"})
    assert not [query["sql"] for query in queries if "COUNT(" in query["sql"] and "audit_auditevent" in query["sql"]]
    assert first.context["newer"] == first.context["newest"] == ""
    second = carol.get(LIST + first.context["older"])
    third = carol.get(LIST + second.context["older"])
    assert third.context["older"] == ""
    seen = [event.pk for page in (first, second, third) for event, _ in page.context["lines"]]
    assert seen == newest_first
    back = carol.get(LIST + third.context["newer"])
    assert [event.pk for event, _ in back.context["lines"]] == newest_first[PAGE_SIZE : 2 * PAGE_SIZE]
    assert parse_qs(urlsplit(third.context["newer"]).query)["application"] == ["PR-Bot"]


def test_histogram_counts_by_outcome_and_each_bar_leads_to_its_time(cast: Cast, carol: Client) -> None:
    ago = timezone.now() - timezone.now().replace(minute=30, second=0, microsecond=0) + dt.timedelta(hours=1)
    for outcome in ("ok", "ok", "denied", "error_remote", "cancelled"):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome, ago=ago)
    make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", ago=ago + dt.timedelta(hours=3))
    histogram = carol.get(HISTOGRAM, {"integration": "github"}).context["histogram"]
    assert histogram.total == 6
    assert {name: number for _, name, number in histogram.totals} == {
        "Done": 2,
        "Denied": 2,
        "Failed": 1,
        "Begun or cancelled": 1,
    }
    last = histogram.filled[-1]
    assert last.counts == (2, 1, 1, 1)
    assert "5 events (2 done, 1 denied, 1 failed, 1 begun or cancelled)" in last.words
    narrowed = carol.get(last.address)
    assert len(narrowed.context["lines"]) == 5
    assert narrowed.context["form"].cleaned_data["integration"] == "github"


def test_histogram_says_how_far_it_counted(cast: Cast, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "SECONDS", 0)
    for minutes in (300, 200, 1, 1, 1):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", ago=dt.timedelta(minutes=minutes))
    answer = carol.get(HISTOGRAM, {"start": f"{timezone.now() - dt.timedelta(hours=9):%Y-%m-%dT%H:%M}"})
    assert answer.context["histogram"].total == 3
    assert answer.context["uncounted"] > 0
    assert "counted back to" in read_words(answer)


def test_search_that_takes_long_shows_what_it_found_and_goes_on(
    cast: Cast, carol: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "SECONDS", 0)
    made = [
        make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied", ago=dt.timedelta(hours=hours), account="rare")
        for hours in (30, 20, 10)
    ]
    seen: list[AuditEvent] = []
    query, pages = "?account=rare&period=week", 0
    while query and pages < 900:
        page = carol.get(LIST + query)
        seen += [event for event, _ in page.context["lines"]]
        assert bool(page.context["searched_to"]) == bool(page.context["older"])
        query, pages = page.context["older"], pages + 1
    assert seen == made[::-1]
    assert pages > 3
    assert "Search on" in read_words(carol.get(LIST + "?account=rare&period=week"))


def test_rare_filter_reads_only_hours_that_have_some(cast: Cast, carol: Client) -> None:
    """As far as they are counted: what came since is read whole."""
    make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied", ago=dt.timedelta(days=20))
    for hours in range(40, 4, -1):
        make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(hours=hours))
    seal_events(sign=sign_checkpoint)
    roll_up(seconds=9)
    make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied")
    for asked in (
        {"capability": "delete_*"},
        {"outcome": "denied", "address": ""},
        {"type": "capability.", "outcome": "denied"},
    ):
        page = carol.get(LIST, {"period": "month", **asked})
        assert [event.capability for event, _ in page.context["lines"]] == ["delete_repo"] * 2
    form = FilterForm({"capability": "delete_repo", "account": "x"}, organizations={})
    assert form.is_valid()
    now = timezone.now()
    runs = form.ask(Trail([cast.acme.pk])).find_runs(Window(now - dt.timedelta(days=30), now))
    assert len(runs) == 2
    assert sum((run.end - run.start for run in runs), dt.timedelta()) < dt.timedelta(hours=12)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"show": "every", "outcome": "ok"},
        {"integration": "github", "capability": "create_*"},
        {"application": "pr-bot", "type": "capability."},
        {"application": "PR-Bot", "integration": "github"},
        {"user": "Alice", "outcome": "denied"},
    ],
)
def test_histogram_of_counted_hours_is_that_of_the_events(cast: Cast, carol: Client, asked: dict[str, str]) -> None:
    for hours in (0, 1, 2, 3, 3, 5, 7, 23.9, 24.1, 24.5):
        outcome = "denied" if hours == 3 else "ok"
        make_call(cast.pr_bot, cast.alice, cast.create_issue, outcome, ago=dt.timedelta(hours=hours))
    make_call(make_application(cast.acme, "Other"), None, cast.delete_repo, ago=dt.timedelta(hours=4))
    make_call(cast.spy_bot, cast.mallory, make_capability(cast.globex_github), ago=dt.timedelta(hours=4))
    asked = {"start": f"{timezone.now() - dt.timedelta(hours=24):%Y-%m-%dT%H:%M}", **asked}

    def read() -> list[tuple[str, tuple[int, ...]]]:
        return [(bar.start, bar.counts) for bar in carol.get(HISTOGRAM, asked).context["histogram"].filled]

    live = read()
    assert live
    seal_events(sign=sign_checkpoint)
    roll_up(seconds=9)
    assert read() == live
    make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied")
    assert sum(sum(counts) for _, counts in read()) == sum(sum(counts) for _, counts in live) + (
        asked.get("outcome") != "ok"
    )


def test_question_that_takes_too_long_is_ended_and_says_what_to_do(
    wanted: AuditEvent, carol: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgs.explorer.filters._is_capability", _sleep)
    monkeypatch.setattr("orgs.admin.explorer.within_time", lambda: reading.within_time(50))
    for page in (LIST, TIMELINE):
        assert "takes too long to find out" in read_words(carol.get(page, {"capability": "x"}))
    assert "Counting takes too long" in read_words(carol.get(HISTOGRAM, {"capability": "x"}))


def _sleep(text: str) -> Q:
    slept = Func(Value(1.0, output_field=FloatField()), function="pg_sleep", output_field=TextField())
    return Q(Exact(ToText(slept, TextField()), Value("x")))


# Whose


def test_explorer_shows_nothing_of_another_organization(cast: Cast, carol: Client) -> None:
    make_call(cast.spy_bot, cast.mallory, make_capability(cast.globex_github))
    event = record_event(
        type=EventType.SIGNED_IN, organization_id=cast.globex.pk, actor=Actor(user_name="Mallory Moon")
    )
    record_event(type=EventType.KEY_ROTATED, organization_id=None)
    assert find(carol, period="all", show="every") == []
    assert find(carol, q=str(event.pk)) == []
    for page in (LIST, TIMELINE, HISTOGRAM):
        answer = carol.get(page, {"organization": str(cast.globex.pk)})
        assert answer.status_code == 400
        assert "Globex" not in answer.content.decode()
        assert carol.get(page, {"organization": "installation"}).status_code == 400
    assert carol.get(f"{LIST}{event.pk}/change/").status_code == 404


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 200), ("admin", 200), ("auditor", 200), ("policy_author", 403), ("member", 302)],
)
def test_explorer_is_for_those_who_read_the_whole_trail(cast: Cast, role: str, status: int) -> None:
    person = make_member(cast.acme, "Somebody", role=role)
    person.is_staff = True
    person.save()
    browser = sign_in(person)
    for page in (LIST, TIMELINE, HISTOGRAM):
        assert browser.get(page).status_code == status


def test_explorer_of_two_organizations_chooses_between_them(cast: Cast, carol: Client) -> None:
    Membership.objects.create(organization=cast.globex, user=cast.carol, role=Membership.Role.AUDITOR)
    for organization in (cast.acme, cast.globex):
        record_event(type=EventType.ORGANIZATION_CHANGED, organization_id=organization.pk)
    assert len(find(carol)) == 2
    page = carol.get(LIST, {"organization": str(cast.globex.pk)})
    assert [event.organization_id for event, _ in page.context["lines"]] == [cast.globex.pk]
    assert "Globex" in read_words(page)


def test_explorer_shows_superusers_the_installation(cast: Cast, root: Client) -> None:
    event = record_event(type=EventType.KEY_ROTATED, organization_id=None)
    record_event(type=EventType.SIGNED_IN, organization_id=cast.acme.pk)
    assert find(root, organization="installation") == [event]
    assert len(find(root)) == 2


# One event, and what belongs to it


def test_page_of_a_call_shows_its_decision_events_and_neighbours(cast: Cast, carol: Client) -> None:
    about: dict[str, Any] = {"session": "session-1", "trace_id": "a" * 32}
    began = make_call(cast.pr_bot, cast.alice, cast.create_issue, decision=DECISION, **about)
    ended = AuditEvent.objects.get(call=began.call, phase="completed")
    denied = make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied", **about)
    earlier = make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied")
    others = make_call(make_application(cast.acme, "Other"), cast.bob, cast.create_issue, "denied")
    answer = carol.get(f"{LIST}{ended.pk}/change/")
    assert [event.pk for event in answer.context["call_events"]] == [began.pk, ended.pk]
    related = {part.title: [event.pk for event in part.events] for part in answer.context["related"]}
    assert related == {
        "Same session": [denied.pk],
        "Same trace": [denied.pk],
        "Around that time": [earlier.pk, denied.pk],
    }
    assert others.pk not in related["Around that time"]
    words = read_words(answer)
    assert "not on Fridays" in words
    for part in answer.context["related"]:
        assert carol.get(f"{LIST}?{part.query}").status_code == 200
        assert carol.get(f"{TIMELINE}?{part.query}").status_code == 200


def test_timeline_tells_a_session_with_latencies_gaps_and_denials(cast: Cast, carol: Client) -> None:
    for seconds, outcome in ((600, "ok"), (598, "denied"), (10, "error_remote")):
        make_call(
            cast.pr_bot,
            cast.alice,
            cast.create_issue,
            outcome,
            ago=dt.timedelta(seconds=seconds),
            session="session-1",
            decision=DECISION,
        )
    make_call(cast.pr_bot, cast.alice, cast.create_issue, session="another")
    answer = carol.get(TIMELINE, {"session": "session-1"})
    timeline = answer.context["timeline"]
    assert [step.outcome for step in timeline.steps] == ["ok", "denied", "error_remote"]
    assert [step.latency for step in timeline.steps] == ["12 ms", "", "12 ms"]
    assert [bool(step.gap) for step in timeline.steps] == [False, False, True]
    assert (timeline.calls, timeline.denied, timeline.failed) == (3, 1, 1)
    assert "9 min 48 s of nothing" in read_words(answer)


@pytest.mark.parametrize(
    ("column", "index"),
    [
        ("session", "session"),
        ("trace_id", "trace"),
        ("request_id", "request"),
        ("application_id", "application"),
        ("user_id", "user"),
        ("source_address", "address"),
    ],
)
def test_what_people_paste_is_found_by_an_index(cast: Cast, column: str, index: str) -> None:
    value = cast.pr_bot.pk if column.endswith("ion_id") or column == "user_id" else "0af7651916cd43dd8448eb211c80319c"
    value = "10.1.2.3" if column == "source_address" else value
    order = ["-pk"] if column in ("application_id", "user_id") else []
    events = AuditEvent.objects.for_organization(cast.acme.pk).filter(**{column: value}).order_by(*order)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        sql, parameters = events[:50].query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # Each partition has an index of its own, named after the columns.
    assert f"organization_id_{column}" in plan or f"by_{index}" in plan, plan
