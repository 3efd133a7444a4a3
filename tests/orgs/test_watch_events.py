"""Alerts: what is unusual is found in the tree's order, told once, and learned from silently at first."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEvent
from audit.services.seal import seal_events
from orgs import tasks
from orgs.alerts.calls import find_network
from orgs.alerts.signals import is_within_hours
from orgs.ids import uuid7
from orgs.models import (
    Alert,
    AlertSettings,
    AlertWatch,
    Application,
    DenialCount,
    Notice,
    Organization,
    SeenCapability,
    SeenNetwork,
)
from orgs.services import watch_events as module
from orgs.services.acknowledge_alert import acknowledge_alert
from orgs.services.create_organization import create_organization
from orgs.services.set_alert_settings import set_alert_settings
from orgs.services.set_notice_place import set_notice_place
from orgs.services.watch_events import forget_seen, watch_events
from tests.audit.trees import sign
from tests.factories import Cast, make_application, make_cast
from tests.factories.rows import make_key

HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def cast(db: None) -> Cast:
    """Acme, whose PR-Bot has called before: from home, and what it always does."""
    cast = make_cast()
    call(cast.pr_bot, "create_issue", ago=dt.timedelta(hours=30))
    watch()
    assert not Alert.objects.exists()
    return cast


def call(
    application: Application,
    capability: str,
    count: int = 1,
    *,
    ago: dt.timedelta = dt.timedelta(),
    address: str | None = HOME,
    denied: bool = False,
    at: dt.datetime | None = None,
    **facts: Any,
) -> list[AuditEvent]:
    began = at or timezone.now() - ago
    key = make_key(began)
    return AuditEvent.objects.bulk_create(
        AuditEvent(
            id=make_key(began),
            type="capability.invoked",
            organization_id=application.organization_id,
            call=uuid7(),
            phase="denied" if denied else "requested",
            outcome="denied" if denied else "",
            application_id=application.pk,
            application_name=application.name,
            integration="github",
            capability=capability,
            source_address=address,
            occurred_at=began,
            **{"user_id": key, "user_name": "Alice Adams", **facts},
        )
        for _ in range(count)
    )


def watch() -> int:
    seal_events(sign=sign)
    return watch_events(seconds=10)


def kinds(organization: Organization) -> list[str]:
    return sorted(Alert.objects.for_organization(organization).values_list("kind", flat=True))


def alert_of(organization: Organization) -> Alert:
    return Alert.objects.for_organization(organization).get()


def test_watch_finds_a_new_capability_and_tells_of_it_once(cast: Cast) -> None:
    set_notice_place(organization=cast.acme, name="Team", means="email", address="team@acme.test")
    set_notice_place(organization=cast.globex, name="Hers", means="email", address="mallory@globex.test")
    call(cast.pr_bot, "create_issue")
    (event,) = call(cast.pr_bot, "delete_repo")
    watch()
    alert = alert_of(cast.acme)
    assert (alert.kind, alert.state, alert.count) == ("new_capability", "open", 1)
    assert alert.title == "“PR-Bot” used github:delete_repo for the first time"
    assert alert.found[0] | {"at": ""} == {
        "what": "github:delete_repo",
        "for": "Alice Adams",
        "at": "",
        "event": str(event.pk),
    }
    record = AuditEvent.objects.get(type="alert.raised")
    assert (record.organization_id, record.details["alert"]) == (cast.acme.pk, str(alert.pk))
    assert record.details["events"] == [str(event.pk)]
    notice = Notice.objects.get()
    assert (notice.kind, notice.subject) == ("alert.new_capability", alert.title)
    assert notice.path == f"/admin/orgs/alert/{alert.pk}/change/"
    assert notice.data["alert"]["application"] == {"id": str(cast.pr_bot.pk), "name": "PR-Bot"}
    assert [delivery.address for delivery in notice.deliveries.all()] == ["team@acme.test"]
    call(cast.pr_bot, "delete_repo")
    watch()
    assert Alert.objects.count() == Notice.objects.count() == 1


def test_watch_adds_what_is_new_within_an_hour_to_the_same_alert(cast: Cast) -> None:
    call(cast.pr_bot, "one", ago=dt.timedelta(hours=3))
    watch()
    call(cast.pr_bot, "two", ago=dt.timedelta(hours=2, minutes=30))
    watch()
    assert alert_of(cast.acme).count == 2
    call(cast.pr_bot, "three")
    watch()
    assert list(Alert.objects.order_by("pk").values_list("count", flat=True)) == [2, 1]
    assert AuditEvent.objects.filter(type="alert.raised").count() == Notice.objects.count() == 2


def test_watch_learns_silently_from_what_was_before(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_BACK", 5)
    monkeypatch.setattr(module, "MOST_EVENTS", 2)
    cast = make_cast()
    call(cast.pr_bot, "long_ago", 4)
    seal_events(sign=sign)
    call(cast.pr_bot, "lately", 5, address=ELSEWHERE)
    assert watch() == 5
    assert [seen.capability for seen in SeenCapability.objects.all()] == ["lately"]
    call(cast.pr_bot, "lately", address=ELSEWHERE)
    call(cast.pr_bot, "long_ago", address=ELSEWHERE)
    watch()
    assert kinds(cast.acme) == ["new_capability"]


def test_watch_that_is_killed_before_it_has_finished_repeats_and_loses_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 3)
    call(cast.pr_bot, "delete_repo", 3)
    call(cast.pr_bot, "delete_org", 3)
    told: list[str] = []

    def die(**given: Any) -> None:
        told.append(given["subject"])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "give_notice", die)
        with pytest.raises(KeyboardInterrupt):
            watch()
    assert len(told) == 1
    assert not Alert.objects.exists()
    assert not SeenCapability.objects.filter(capability__startswith="delete").exists()
    watch()
    assert (alert_of(cast.acme).count, Notice.objects.count()) == (2, 1)
    assert watch() > 0  # its own event
    assert watch() == 0


def test_watch_finds_a_new_network_but_not_an_applications_first(cast: Cast) -> None:
    newcomer = make_application(cast.acme, "Newcomer")
    set_alert_settings(organization=cast.acme, new_capability=False)
    call(newcomer, "create_issue", address=ELSEWHERE)
    call(cast.pr_bot, "create_issue", address="198.51.100.200")  # the same /24
    call(cast.pr_bot, "create_issue", address=None)
    watch()
    assert kinds(cast.acme) == []
    call(cast.pr_bot, "create_issue", address=ELSEWHERE)
    watch()
    alert = alert_of(cast.acme)
    assert alert.title == "“PR-Bot” called from 203.0.113.0/24 for the first time in 30 days"


def test_watch_finds_a_network_again_that_was_not_seen_for_long(cast: Cast) -> None:
    call(cast.pr_bot, "create_issue", address=ELSEWHERE)
    watch()
    Alert.objects.all().delete()
    SeenNetwork.objects.filter(network="198.51.100.0/24").update(last_seen_at=timezone.now() - dt.timedelta(days=31))
    call(cast.pr_bot, "create_issue")
    watch()
    assert "198.51.100.0/24" in alert_of(cast.acme).title


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", None),
        (None, None),
    ],
)
def test_find_network(address: str | None, network: str | None) -> None:
    assert find_network(address) == network


def test_watch_finds_a_denial_spike_against_the_applications_own_hours(cast: Cast) -> None:
    set_alert_settings(organization=cast.acme, new_capability=False, denial_floor=10, denial_factor=4)
    other = make_application(cast.acme, "Often denied")
    for hour in range(2, 26):
        call(other, "delete_repo", 5, denied=True, ago=dt.timedelta(hours=hour))
    call(other, "delete_repo", 12, denied=True)
    call(cast.pr_bot, "delete_repo", 9, denied=True)
    watch()
    assert kinds(cast.acme) == []  # one is used to it, the other is below the floor
    call(cast.pr_bot, "delete_repo", 3, denied=True)
    watch()
    alert = alert_of(cast.acme)
    assert alert.title == "“PR-Bot”: 12 calls denied within an hour"
    assert "it was 0 an hour" in alert.reason
    assert (alert.application_id, alert.count) == (cast.pr_bot.pk, 3)
    call(cast.pr_bot, "delete_repo", 30, denied=True)
    watch()
    assert (alert_of(cast.acme).count, Notice.objects.count()) == (33, 1)


def test_watch_of_denied_calls_does_not_make_capabilities_known(cast: Cast) -> None:
    call(cast.pr_bot, "delete_repo", denied=True)
    watch()
    assert not SeenCapability.objects.filter(capability="delete_repo").exists()
    call(cast.pr_bot, "delete_repo")
    watch()
    assert kinds(cast.acme) == ["new_capability"]


def test_watch_finds_calls_outside_of_hours(cast: Cast) -> None:
    hours: dict[str, Any] = {
        "opens": dt.time(9),
        "closes": dt.time(17),
        "days": ["mon", "tue"],
        "zone": "Europe/Berlin",
    }
    set_alert_settings(organization=cast.acme, off_hours=True, **hours)
    monday = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    call(cast.pr_bot, "create_issue", at=monday.replace(hour=8, minute=30))
    call(cast.pr_bot, "create_issue", at=monday.replace(hour=20), user_id=None, user_name="")
    watch()
    assert kinds(cast.acme) == []
    call(cast.pr_bot, "create_issue", at=monday.replace(hour=16, minute=1))
    watch()
    alert = alert_of(cast.acme)
    assert alert.title == "“PR-Bot” called once outside of hours"
    assert alert.found[0]["what"] == "github:create_issue on Mon 23 Nov at 17:01 Europe/Berlin"
    assert alert.reason == "Your hours are Mon, Tue, 09:00 to 17:00 Europe/Berlin."


def test_hours_may_go_past_midnight() -> None:
    settings = AlertSettings(opens=dt.time(22), closes=dt.time(6), days=["fri"])
    friday = dt.datetime(2026, 11, 27)
    within = [friday.replace(hour=23), friday.replace(day=28, hour=5)]
    outside = [friday.replace(hour=5), friday.replace(hour=12), friday.replace(day=28, hour=23)]
    assert [is_within_hours(settings, moment) for moment in within] == [True, True]
    assert [is_within_hours(settings, moment) for moment in outside] == [False, False, False]


def test_watch_of_what_is_switched_off_still_learns(cast: Cast) -> None:
    set_alert_settings(organization=cast.acme, new_capability=False, new_network=False)
    call(cast.pr_bot, "delete_repo", address=ELSEWHERE)
    watch()
    set_alert_settings(organization=cast.acme, new_capability=True, new_network=True)
    call(cast.pr_bot, "delete_repo", address=ELSEWHERE)
    watch()
    assert kinds(cast.acme) == []


def test_watch_of_one_organization_knows_nothing_of_another(cast: Cast) -> None:
    call(cast.spy_bot, "create_issue", ago=dt.timedelta(hours=1))
    watch()
    before = Alert.objects.for_organization(cast.acme).count()
    call(cast.spy_bot, "delete_repo", address=ELSEWHERE)
    watch()
    assert kinds(cast.globex) == ["new_capability", "new_network"]
    assert Alert.objects.for_organization(cast.acme).count() == before
    assert set(AuditEvent.objects.filter(type="alert.raised").values_list("organization_id", flat=True)) == {
        cast.globex.pk
    }


def test_watch_with_a_hostile_name_keeps_it_on_one_line(cast: Cast) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(name="Bot\r\nBcc: x@y.test \u202e" + "long" * 50)
    cast.pr_bot.refresh_from_db()
    call(cast.pr_bot, "delete_repo\r\nX")
    watch()
    alert = alert_of(cast.acme)
    assert "\n" not in alert.title + json.dumps(alert.found)
    assert "\u202e" not in alert.title
    assert "\r" not in Notice.objects.get().text


def test_watch_looks_into_the_months_of_the_calls_alone(cast: Cast) -> None:
    call(cast.pr_bot, "create_issue", 20)
    seal_events(sign=sign)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        watch_events(seconds=10)
    (reading,) = [query["sql"] for query in queries if 'FROM "audit_auditevent"' in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {reading}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "audit_auditevent_2026_10" not in plan
    assert len(queries) < 25


def test_two_watchers_do_not_read_the_same(cast: Cast) -> None:
    call(cast.pr_bot, "delete_repo")
    seal_events(sign=sign)
    watched = AlertWatch.objects.get(pk=cast.acme.pk)
    AlertWatch.objects.filter(pk=cast.acme.pk).update(position=watched.position + 1)  # the other was faster
    watch_events(seconds=10)
    assert not Alert.objects.exists()


def test_watch_of_a_deleted_organization_and_application_goes_on(cast: Cast) -> None:
    call(cast.spy_bot, "create_issue")
    gone = make_application(cast.acme, "Gone")
    call(gone, "delete_repo")
    gone.delete()
    seal_events(sign=sign)
    cast.globex.delete()
    watch_events(seconds=10)
    assert alert_of(cast.acme).application_name == "Gone"


def test_acknowledge_is_recorded_once(cast: Cast) -> None:
    call(cast.pr_bot, "delete_repo")
    watch()
    alert = alert_of(cast.acme)
    acknowledge_alert(alert=alert, user=cast.carol)
    acknowledge_alert(alert=alert, user=cast.bob)
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", cast.carol)
    assert [event.user_id for event in AuditEvent.objects.filter(type="alert.acknowledged")] == [cast.carol.pk]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"denial_floor": 0}, "denial_floor"),
        ({"denial_factor": 1}, "denial_factor"),
        ({"network_days": 366}, "network_days"),
        ({"repeat_hours": 0}, "repeat_hours"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"days": ["mon", "caturday"]}, "days"),
        ({"days": [], "off_hours": True}, "days"),
        ({"opens": dt.time(9), "closes": dt.time(9)}, "closes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(cast: Cast, given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        set_alert_settings(organization=cast.acme, **given)
    assert list(refusal.value.message_dict) == [field]
    assert not AlertSettings.objects.filter(pk=cast.acme.pk).exists()
    assert not AuditEvent.objects.filter(type="alert.settings_changed").exists()


def test_settings_are_recorded_before_and_after(cast: Cast) -> None:
    set_alert_settings(organization=cast.acme, off_hours=True, opens=dt.time(8), days=["tue", "mon"])
    set_alert_settings(organization=cast.acme, off_hours=True)
    (event,) = AuditEvent.objects.filter(type="alert.settings_changed")
    assert event.details["changes"] == {
        "off_hours": [False, True],
        "opens": ["07:00", "08:00"],
        "days": [["mon", "tue", "wed", "thu", "fri"], ["mon", "tue"]],
    }


def test_new_organization_has_settings(db: None) -> None:
    assert create_organization(name="Initech", slug="initech").alert_settings.new_capability


def test_tasks_watch_and_forget(cast: Cast) -> None:
    long_ago = timezone.now() - dt.timedelta(days=400)
    gone = {"organization": cast.acme, "application_id": uuid7()}
    SeenCapability.objects.create(**gone, integration="github", capability="x")
    SeenNetwork.objects.create(**gone, network="192.0.2.0/24", last_seen_at=long_ago)
    DenialCount.objects.create(**gone, quarter=long_ago, count=1)
    tasks.watch()
    forget_seen()
    assert {row.application_id for row in rows()} == {cast.pr_bot.pk}


def rows() -> Iterable[Any]:
    return [*SeenCapability.objects.all(), *SeenNetwork.objects.all(), *DenialCount.objects.all()]
