"""Every notice is a row first, then tried until it arrives, for three days, once for each place."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
import standardwebhooks
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEvent
from kontext.environment import read_email_url
from orgs import tasks
from orgs.models import Delivery, Notice, NoticePlace
from orgs.notices.signing import make_secret
from orgs.services import send_notices
from orgs.services.give_notice import give_notice
from orgs.services.send_notices import find_due, forget_notices, send_notice
from orgs.services.set_notice_place import (
    MOST_PLACES,
    SetPlace,
    delete_notice_place,
    rotate_notice_secret,
    set_notice_place,
    try_notice_place,
)
from tests.e2e.processes import ROOT
from tests.factories import Cast
from tests.orgs.notices.places import MailServer, Receiver


def add(cast: Cast, address: str, *, means: str = "webhook", **given: Any) -> SetPlace:
    return set_notice_place(
        organization=cast.acme, name=given.pop("name", address[-60:]), means=means, address=address, **given
    )


def tell(cast: Cast, **given: Any) -> Notice:
    told = {"kind": "weather.rain", "subject": "It rains in Berlin", "text": "Since noon.", "path": "/admin/", **given}
    return give_notice(organization_id=cast.acme.pk, **told)


def send_due() -> list[Delivery]:
    sent = [send_notice(delivery_id=key) for key in find_due()]
    return [delivery for delivery in sent if delivery is not None]


def make_due() -> None:
    Delivery.objects.filter(state="pending").update(due_at=timezone.now())


def test_send_webhook_is_verified_by_a_third_party(cast: Cast, receiver: Receiver, settings: Settings) -> None:
    secret = add(cast, receiver.url).secret
    notice = tell(cast, data={"city": "Berlin"})
    assert [delivery.state for delivery in send_due()] == ["delivered"]
    document = receiver.verify(secret)
    assert document["type"] == "weather.rain"
    assert document["data"]["organization"] == {"id": str(cast.acme.pk), "slug": cast.acme.slug}
    assert (document["data"]["city"], document["data"]["subject"]) == ("Berlin", "It rains in Berlin")
    assert document["data"]["url"] == f"{settings.PUBLIC_URL}/admin/"
    assert receiver.requests[0][0]["webhook-id"] == str(notice.pk)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.verify("whsec_" + "A" * 43 + "=")
    assert send_due() == []


def test_example_of_the_documentation_verifies_what_was_sent_and_nothing_else(cast: Cast, receiver: Receiver) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example[1], names)
    secret = add(cast, receiver.url).secret
    tell(cast)
    send_due()
    headers, body = receiver.requests[0]
    names["verify"](secret, headers, body)
    late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
    for changed in ((secret, headers, body + b" "), (make_secret(), headers, body), (secret, late, body)):
        with pytest.raises(ValueError, match=r"signed|old"):
            names["verify"](*changed)


def test_send_to_failing_webhook_tries_again_with_the_same_id_and_body(cast: Cast, receiver: Receiver) -> None:
    secret = add(cast, receiver.url).secret
    tell(cast)
    receiver.answers = [500, 302]
    (delivery,) = send_due()
    assert (delivery.state, delivery.error) == ("pending", "it answered HTTP 500")
    assert delivery.due_at is not None
    assert delivery.due_at > timezone.now()
    assert send_due() == []  # it rests
    make_due()
    assert "enter the address that this leads to" in send_due()[0].error
    make_due()
    assert [(delivery.state, delivery.tries, delivery.error) for delivery in send_due()] == [("delivered", 3, "")]
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert len({body for _, body in receiver.requests}) == 1
    assert [receiver.verify(secret, index)["type"] for index in range(3)] == ["weather.rain"] * 3


def test_send_gives_up_after_three_days_and_records_it(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver.url)
    tell(cast)
    rests = sum(send_notices.RESTS, dt.timedelta())
    assert dt.timedelta(days=2, hours=20) < rests < dt.timedelta(days=3)
    receiver.answers = [503] * 20
    for _ in range(15):
        make_due()
        send_due()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.due_at, delivery.error) == ("failed", None, "it answered HTTP 503")
    assert delivery.tries == len(send_notices.RESTS) + 1 == len(receiver.requests)
    event = AuditEvent.objects.get(type="notice.failed")
    assert (event.organization_id, event.outcome) == (cast.acme.pk, "error_remote")
    assert event.details["error"] == "it answered HTTP 503"


def test_send_to_webhook_that_is_gone_gives_up_at_once(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver.url)
    tell(cast)
    receiver.answers = [410]
    assert [delivery.state for delivery in send_due()] == ["failed"]


def test_send_after_being_killed_tries_again_once_the_lease_has_ended(cast: Cast, receiver: Receiver) -> None:
    add(cast, receiver.url)
    tell(cast)
    (key,) = find_due()
    assert send_notices._claim(key) is not None  # and here it is killed
    assert send_notices._claim(key) is None
    assert find_due() == []
    make_due()
    assert [delivery.tries for delivery in send_due()] == [2]


def test_send_of_an_organization_whose_places_hang_leaves_room_for_others(cast: Cast) -> None:
    add(cast, "https://hangs.test/hook")
    for _ in range(15):
        tell(cast)
    set_notice_place(organization=cast.globex, name="Ours", means="email", address="mallory@globex.test")
    give_notice(organization_id=cast.globex.pk, kind="weather.rain", subject="Rain", text="")
    owners = Delivery.objects.filter(pk__in=find_due()).values_list("organization_id", flat=True)
    assert sorted(map(str, owners)) == sorted([str(cast.acme.pk)] * 10 + [str(cast.globex.pk)])


def test_give_notice_reaches_places_of_its_kind_and_organization_alone(cast: Cast) -> None:
    add(cast, "https://all.test/")
    add(cast, "https://snow.test/", kinds=["weather.snow"])
    add(cast, "https://off.test/", is_enabled=False)
    set_notice_place(organization=cast.globex, name="Ours", means="webhook", address="https://globex.test/")
    notice = tell(cast)
    assert [delivery.address for delivery in notice.deliveries.all()] == ["https://all.test/"]
    with pytest.raises(ValueError, match="no registered kind"):
        tell(cast, kind="weather.frogs")


def test_give_notice_in_a_transaction_that_is_rolled_back_leaves_nothing(cast: Cast) -> None:
    add(cast, "https://all.test/")
    with transaction.atomic():
        tell(cast)
        transaction.set_rollback(True)
    assert not Notice.objects.exists()
    assert not Delivery.objects.exists()


def test_send_mail_arrives_at_a_real_server(cast: Cast, mail_server: MailServer, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False  # the operator's own mail server may be inside all the same
    add(cast, "security@acme.test", means="email")
    tell(cast, subject="PR-Bot\r\nBcc: mallory@globex.test\u202e rains", person=cast.alice)
    assert [delivery.state for delivery in send_due()] == ["delivered"] * 2
    assert {message["To"] for message in mail_server.messages} == {"security@acme.test", cast.alice.email}
    message = mail_server.messages[0]
    assert message["Subject"] == "PR-Bot Bcc: mallory@globex.test rains"
    assert (message["Bcc"], message["From"]) == (None, settings.DEFAULT_FROM_EMAIL)
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_payload(decode=True).decode()
    assert f"Since noon.\n\n{settings.PUBLIC_URL}/admin/" in text.replace("\r\n", "\n")


def test_send_mail_to_nobody_gives_up_and_to_a_busy_box_does_not(cast: Cast, mail_server: MailServer) -> None:
    add(cast, "nobody@acme.test", means="email")
    add(cast, "later@acme.test", means="email")
    tell(cast)
    states = {delivery.address: (delivery.state, delivery.error) for delivery in send_due()}
    assert states == {
        "nobody@acme.test": ("failed", "the mail server refuses this address: 550 5.1.1 No such user here"),
        "later@acme.test": ("pending", "the mail server refuses this address: 451 4.3.0 Come back later"),
    }


def test_send_mail_without_a_mail_server_says_what_to_set(cast: Cast, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "orgs.notices.mail.NoMailBackend"
    add(cast, "security@acme.test", means="email")
    tell(cast)
    assert "EMAIL_URL" in send_due()[0].error
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = "orgs.notices.mail.MailBackend", "127.0.0.1", 1
    make_due()
    assert send_due()[0].error.startswith("127.0.0.1:1 can't be reached")


def test_send_to_a_place_that_went_meanwhile_does_not_arrive(cast: Cast, receiver: Receiver) -> None:
    one, other = add(cast, receiver.url).place, add(cast, f"{receiver.url}/other").place
    tell(cast)
    delete_notice_place(place=one)
    set_notice_place(
        organization=cast.acme, name="Off", means="webhook", address=other.address, is_enabled=False, place=other
    )
    assert {(delivery.state, delivery.error) for delivery in send_due()} == {
        ("failed", "the place was deleted before it arrived"),
        ("failed", "the place was switched off before it arrived"),
    }
    assert receiver.requests == []


def test_send_into_a_private_network_is_refused(cast: Cast, receiver: Receiver, settings: Settings) -> None:
    add(cast, receiver.url)
    settings.ALLOW_PRIVATE_NETWORKS = False
    tell(cast)
    assert "must be an https URL" in send_due()[0].error
    assert receiver.requests == []


def test_rotate_secret_signs_with_both_for_a_day(cast: Cast, receiver: Receiver) -> None:
    added = add(cast, receiver.url)
    place = added.place
    fresh = rotate_notice_secret(place=place)
    assert fresh != added.secret
    tell(cast)
    send_due()
    assert receiver.verify(added.secret) == receiver.verify(fresh)
    NoticePlace.objects.filter(pk=place.pk).update(former_until=timezone.now())
    tell(cast)
    send_due()
    receiver.verify(fresh)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.verify(added.secret)


def test_secret_is_sealed_and_said_nowhere(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    added = add(cast, "https://all.test/hook?token=of-the-receiver", name="Hook")
    fresh = rotate_notice_secret(place=added.place)
    delete_notice_place(place=added.place)
    told = json.dumps([event.details for event in AuditEvent.objects.all()]) + repr(added) + caplog.text
    row = bytes(added.place.secret) + bytes(added.place.former_secret)
    for secret in (added.secret, fresh):
        assert secret.startswith("whsec_")
        assert secret not in told
        assert secret.encode() not in row
    assert "of-the-receiver" not in told
    verbs = (
        AuditEvent.objects.filter(type="notice.place_changed").order_by("pk").values_list("details__verb", flat=True)
    )
    assert list(verbs) == ["added", "secret rotated", "deleted"]


def test_secret_moved_to_another_place_does_not_sign(cast: Cast, receiver: Receiver) -> None:
    one, other = add(cast, receiver.url).place, add(cast, f"{receiver.url}/other").place
    NoticePlace.objects.filter(pk=other.pk).update(secret=one.secret, address=f"{receiver.url}/moved")
    tell(cast)
    errors = {delivery.address: delivery.error for delivery in send_due()}
    assert "can't be opened" in errors[f"{receiver.url}/moved"]


@pytest.mark.parametrize(
    ("means", "address"),
    [
        ("email", "not an address"),
        ("email", "a@acme.test\nBcc: b@globex.test"),
        ("email", ""),
        ("webhook", "http://acme.test/hook"),
        ("webhook", "https://user:password@acme.test/hook"),
        ("webhook", "https://acme.test:port/"),
        ("webhook", "https://acme.test/a b"),
        ("webhook", "file:///etc/passwd"),
        ("webhook", "https://"),
        ("webhook", "https://acme.test/" + "a" * 500),
    ],
)
def test_set_place_with_bad_address_is_refused(cast: Cast, means: str, address: str, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises(Exception, match="address") as refusal:
        add(cast, address, means=means, name="Place")
    assert type(refusal.value).__name__ == "ValidationError"
    assert not NoticePlace.objects.exists()
    assert not AuditEvent.objects.exists()


def test_set_place_twice_or_one_too_many_or_of_no_kind_is_refused(cast: Cast) -> None:
    add(cast, "security@acme.test", means="email")
    with pytest.raises(Exception, match="told there already"):
        add(cast, "security@acme.test", means="email")
    with pytest.raises(Exception, match="kinds of notice that there are"):
        add(cast, "other@acme.test", means="email", kinds=["weather.frogs"])
    NoticePlace.objects.bulk_create(
        NoticePlace(organization=cast.acme, name=f"{n}", means="email", address=f"{n}@acme.test")
        for n in range(MOST_PLACES - 1)
    )
    with pytest.raises(Exception, match=f"at most {MOST_PLACES}"):
        add(cast, "other@acme.test", means="email")


def test_try_place_sends_at_once_and_only_there(cast: Cast, receiver: Receiver) -> None:
    place = add(cast, receiver.url, kinds=["weather.snow"]).place
    add(cast, f"{receiver.url}/other")
    delivery = try_notice_place(place=place)
    assert (delivery.state, len(receiver.requests)) == ("delivered", 1)
    assert json.loads(receiver.requests[0][1])["type"] == "test"
    receiver.answers = [401]
    assert try_notice_place(place=place).error == "it answered HTTP 401"


def test_tasks_send_what_is_due_and_forget_what_is_old(cast: Cast, receiver: Receiver, settings: Settings) -> None:
    settings.CELERY_TASK_ALWAYS_EAGER = True
    add(cast, receiver.url)
    old, young = tell(cast), tell(cast)
    for key in find_due():
        tasks.send_one_notice(str(key))
    Notice.objects.filter(pk=old.pk).update(created_at=timezone.now() - dt.timedelta(days=91))
    forget_notices()
    assert list(Notice.objects.all()) == [young]
    assert Delivery.objects.get().state == "delivered"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.acme.test", ("mail.acme.test", 25, "", "", False, False)),
        ("smtp+tls://kontext:a%2Fb%40c@mail.acme.test", ("mail.acme.test", 587, "kontext", "a/b@c", True, False)),
        ("smtp+ssl://kontext:x@mail.acme.test:4650", ("mail.acme.test", 4650, "kontext", "x", False, True)),
    ],
)
def test_read_email_url(url: str, expected: tuple[Any, ...]) -> None:
    found = read_email_url(url)
    names = ("HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL")
    assert tuple(found[f"EMAIL_{name}"] for name in names) == expected


@pytest.mark.parametrize(
    "url", ["mail.acme.test", "http://mail.test", "smtp://", "smtp://u:top-secret@h:port", "smtp://h/x"]
)
def test_read_email_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as refusal:
        read_email_url(url)
    assert "top-secret" not in str(refusal.value)
