"""Two events make one call: what lists of calls show."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from audit.services.record import record_event
from tests.factories import Cast, make_call, make_cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def read(**conditions: Any) -> list[Any]:
    return list(AuditEvent.objects.filter(**conditions).calls().with_results().order_by("pk"))


def test_calls_show_one_event_each_with_what_became_of_it(cast: Cast) -> None:
    done = make_call(cast.pr_bot, cast.alice, cast.create_issue, account="alice-gh")
    refused = make_call(cast.pr_bot, cast.alice, cast.delete_repo, "denied")
    going_on = make_call(cast.pr_bot, cast.alice, cast.create_issue, "")
    record_event(type="person.signed_in", organization_id=cast.acme.pk)

    shown = {event.pk: (event.result, event.result_account, event.result_latency_us) for event in read()}

    assert shown == {
        done.pk: ("ok", "alice-gh", 12_000),
        refused.pk: ("denied", "", None),
        going_on.pk: ("", "", None),
    }
    assert [event.type for event in AuditEvent.objects.other_than_calls()] == ["person.signed_in"]


def test_ended_as_finds_calls_by_what_completed_them(cast: Cast) -> None:
    failed = make_call(cast.pr_bot, cast.alice, cast.create_issue, "error_remote")
    make_call(cast.pr_bot, cast.alice, cast.create_issue)
    found = AuditEvent.objects.calls().with_results().ended_as("error_remote")
    assert [event.pk for event in found] == [failed.pk]


def test_results_never_come_from_another_organization(cast: Cast) -> None:
    """A call's number is made by one writer, but nothing in the log forbids another to write it, too."""
    mine = make_call(cast.pr_bot, cast.alice, cast.create_issue, "")
    AuditEvent.objects.create(
        type="capability.invoked",
        organization_id=cast.globex.pk,
        call=mine.call,
        phase="completed",
        outcome="ok",
        account="mallory",
        occurred_at=timezone.now(),
    )
    [event] = read(pk=mine.pk)
    assert (event.result, event.result_account) == ("", "")


def test_since_leaves_out_what_is_older(cast: Cast) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(days=8))
    recent = make_call(cast.pr_bot, cast.alice, cast.create_issue, ago=dt.timedelta(days=6))
    week_ago = timezone.now() - dt.timedelta(days=7)
    assert [event.pk for event in AuditEvent.objects.since(week_ago).calls()] == [recent.pk]
