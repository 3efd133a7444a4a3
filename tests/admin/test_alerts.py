"""Alerts, what is told and where, as an organization's administrators and auditors use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from audit.models import AuditEvent
from orgs.models import Alert, AlertSettings, Delivery, NoticePlace
from orgs.services.set_alert_settings import set_alert_settings
from orgs.services.set_notice_place import set_notice_place
from tests.admin.conftest import sign_in, submit
from tests.admin.test_saved_searches import make_auditor
from tests.factories import Cast, make_call
from tests.orgs.notices.places import Receiver, receive_webhooks
from tests.orgs.test_watch_events import watch

PLACES = "/admin/orgs/noticeplace/"


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.ALLOW_PRIVATE_NETWORKS = True
    with receive_webhooks() as receiving:
        yield receiving


def raise_alert(cast: Cast) -> Alert:
    make_call(cast.pr_bot, cast.alice, cast.create_issue)
    watch()
    make_call(cast.pr_bot, cast.alice, cast.delete_repo, source_address="203.0.113.9")
    watch()
    return Alert.objects.get()


def test_alert_is_on_the_overview_and_leads_to_its_events_until_it_is_acknowledged(cast: Cast, carol: Client) -> None:
    assert "Nothing unusual yet" in carol.get("/admin/orgs/alert/").content.decode()
    alert = raise_alert(cast)
    assert alert.title in carol.get("/admin/").content.decode()
    page = carol.get(f"/admin/orgs/alert/{alert.pk}/change/").content.decode()
    assert f"/admin/audit/auditevent/{alert.found[0]['event']}/change/" in page
    explorer = re.search(r'href="(/admin/audit/auditevent/\?[^"]*capability[^"]*)"', page)
    assert explorer is not None
    found = carol.get(explorer[1].replace("&amp;", "&"))
    assert [str(event.call) for event, _ in found.context["lines"]] == [
        str(AuditEvent.objects.get(pk=alert.found[0]["event"]).call)
    ]
    assert carol.post(f"/admin/orgs/alert/{alert.pk}/acknowledge/").status_code == 302
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", cast.carol)
    assert alert.title not in carol.get("/admin/").content.decode()
    assert carol.get(f"/admin/orgs/alert/{alert.pk}/acknowledge/").status_code == 404


def test_acknowledge_of_many_covers_what_was_chosen(cast: Cast, carol: Client) -> None:
    alert = raise_alert(cast)
    answer = carol.post(
        "/admin/orgs/alert/", {"action": "acknowledge_chosen", "_selected_action": [str(alert.pk)]}, follow=True
    )
    assert "Acknowledged: 1." in answer.content.decode()
    assert AuditEvent.objects.filter(type="alert.acknowledged", user_id=cast.carol.pk).count() == 1


def test_auditor_reads_alerts_and_changes_nothing(cast: Cast) -> None:
    alert = raise_alert(cast)
    place = set_notice_place(organization=cast.acme, name="Team", means="email", address="team@acme.test").place
    olga = sign_in(make_auditor(cast))
    assert alert.title in olga.get("/admin/orgs/alert/").content.decode()
    assert olga.post(f"/admin/orgs/alert/{alert.pk}/acknowledge/").status_code == 403
    assert olga.post(f"{PLACES}{place.pk}/send-test/").status_code == 403
    assert olga.post(f"{PLACES}{place.pk}/rotate-secret/").status_code == 403
    assert olga.get(f"{PLACES}add/").status_code == 403
    alert.refresh_from_db()
    assert alert.state == "open"
    assert not Delivery.objects.exists()


def test_settings_are_changed_and_bad_ones_refused_beside_their_field(cast: Cast, carol: Client) -> None:
    set_alert_settings(organization=cast.acme)
    address = f"/admin/orgs/alertsettings/{cast.acme.pk}/change/"
    assert carol.get("/admin/orgs/alertsettings/").headers["Location"] == address
    hours = {"off_hours": "on", "opens": "08:00", "closes": "18:30", "zone": "Europe/Berlin"}
    assert submit(carol, address, **hours, days=["mon", "fri"]).status_code == 302
    settings = AlertSettings.objects.get(pk=cast.acme.pk)
    assert (settings.days, settings.zone, f"{settings.closes:%H:%M}") == (["mon", "fri"], "Europe/Berlin", "18:30")
    (event,) = AuditEvent.objects.filter(type="alert.settings_changed")
    assert event.user_id == cast.carol.pk
    answer = submit(carol, address, closes="08:00")
    assert "an end that isn" in str(answer.context["adminform"].form.errors["closes"])
    assert "zone" in submit(carol, address, zone="Mars/Olympus").context["adminform"].form.errors


def test_webhook_shows_its_secret_once_is_tested_and_rotated(cast: Cast, carol: Client, receiver: Receiver) -> None:
    given: dict[str, Any] = {"name": "Pager", "means": "webhook", "address": f"{receiver.url}?token=theirs"}
    answer = submit(carol, f"{PLACES}add/", organization=str(cast.acme.pk), **given)
    secret = find_secret(answer)
    assert answer.headers["Cache-Control"].startswith("no-store, private")
    place = NoticePlace.objects.get()
    page = carol.post(f"{PLACES}{place.pk}/send-test/", follow=True).content.decode()
    assert "It arrived at" in page
    assert receiver.verify(secret)["type"] == "test"
    receiver.answers = [500]
    page = carol.post(f"{PLACES}{place.pk}/send-test/", follow=True).content.decode()
    assert "it answered HTTP 500" in page
    delivery = Delivery.objects.get(state="pending")
    assert "it answered HTTP 500" in carol.get("/admin/orgs/delivery/").content.decode()
    assert "It arrived" in carol.post(f"/admin/orgs/delivery/{delivery.pk}/try-again/", follow=True).content.decode()
    fresh = find_secret(carol.post(f"{PLACES}{place.pk}/rotate-secret/"))
    submit(carol, f"{PLACES}{place.pk}/change/", name="The pager")
    pages = [carol.get(f"{PLACES}{place.pk}/change/"), carol.get(PLACES), carol.get("/admin/orgs/delivery/")]
    said = "".join(page.content.decode() for page in pages) + str(list(AuditEvent.objects.values_list("details")))
    assert secret not in said
    assert fresh not in said
    assert "theirs" not in str(list(AuditEvent.objects.values_list("details")))
    assert carol.post(f"{PLACES}{place.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not NoticePlace.objects.exists()


def test_place_with_a_bad_address_is_refused_beside_its_field(cast: Cast, carol: Client) -> None:
    given = {"organization": str(cast.acme.pk), "name": "Team", "means": "email", "address": "nobody"}
    answer = submit(carol, f"{PLACES}add/", **given)
    assert "valid email address" in str(answer.context["adminform"].form.errors["address"])
    assert not NoticePlace.objects.exists()


def test_place_by_mail_without_a_mail_server_says_who_sets_it(cast: Cast, carol: Client, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "orgs.notices.mail.NoMailBackend"
    given = {"organization": str(cast.acme.pk), "name": "Team", "means": "email", "address": "team@acme.test"}
    answer = carol.get(submit(carol, f"{PLACES}add/", **given).headers["Location"])
    assert "EMAIL_URL" in answer.content.decode()


def find_secret(answer: Any) -> str:
    found = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.content.decode())
    assert found is not None
    return found[0]
