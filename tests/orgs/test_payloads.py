"""What was kept of a call's content opens for its event alone, and for nobody once the person's key is erased."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEvent, Payload, PayloadKey
from audit.ocsf import to_ocsf
from audit.services.record import Actor
from orgs.errors import PayloadErasedError, PayloadMissingError, PayloadUnreadableError
from orgs.http import make_actor
from orgs.models import User
from orgs.payloads import get_payload_key, open_payload
from orgs.services.erase_payloads import Erased, erase_payloads
from orgs.services.show_payload import show_payload
from tests.factories import Cast, keep_content, make_call, make_cast

SECRET = "zq-only-for-alice"
CONTENT = {"arguments": {"repo": "acme/frontend", "title": SECRET}}


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def make_kept(cast: Cast, user: User | None = None) -> AuditEvent:
    return make_call(cast.pr_bot, user or cast.alice, cast.create_issue, content=CONTENT)


def test_open_returns_what_was_kept_and_no_column_has_it(cast: Cast) -> None:
    opened = open_payload(make_kept(cast))
    assert (opened.level, opened.is_cut, opened.document) == ("full", False, CONTENT)
    assert SECRET not in repr(opened)
    for model in (AuditEvent, Payload, PayloadKey):
        assert SECRET not in repr([tuple(map(_plain, row)) for row in model._default_manager.values_list()])


def test_open_without_content_says_that_nothing_was_kept(cast: Cast) -> None:
    with pytest.raises(PayloadMissingError):
        open_payload(make_call(cast.pr_bot, cast.alice, cast.create_issue))


def test_each_person_and_each_application_for_itself_has_one_key(cast: Cast) -> None:
    for user in (cast.alice, cast.alice, cast.bob, None, None):
        get_payload_key(organization_id=cast.acme.pk, user_id=user.pk if user else None, application_id=cast.pr_bot.pk)
    owners = set(PayloadKey.objects.values_list("user_id", "application_id"))
    assert owners == {(cast.alice.pk, None), (cast.bob.pk, None), (None, cast.pr_bot.pk)}
    assert PayloadKey.objects.count() == 3


def test_payload_moved_to_another_event_does_not_open(cast: Cast) -> None:
    event, other = make_kept(cast), make_kept(cast)
    sealed = bytes(Payload.objects.of_events([other]).get().sealed)
    _with_triggers_off("UPDATE audit_payload SET sealed = %s WHERE call = %s", [sealed, event.call])
    with pytest.raises(PayloadUnreadableError, match="moved"):
        open_payload(event)


def test_key_moved_to_another_person_does_not_open(cast: Cast) -> None:
    event, other = make_kept(cast), make_kept(cast, cast.bob)
    key_of_bob = bytes(PayloadKey.objects.get(user_id=cast.bob.pk).sealed_key)
    statement = "UPDATE audit_payloadkey SET sealed_key = %s WHERE user_id = %s"
    _with_triggers_off(statement, [key_of_bob, cast.alice.pk])
    with pytest.raises(PayloadUnreadableError):
        open_payload(event)
    assert open_payload(other).document == CONTENT


def test_payload_that_its_event_has_not_the_digest_of_is_not_shown(cast: Cast) -> None:
    """Whoever has the keys can seal anew, but the event is sealed into the tree."""
    event = make_kept(cast)
    forged = AuditEvent(**{field.attname: getattr(event, field.attname) for field in AuditEvent._meta.concrete_fields})
    _with_triggers_off("DELETE FROM audit_payload", [])
    _with_triggers_off("DELETE FROM audit_auditevent WHERE phase = 'requested'", [])
    keep_content(forged, {"arguments": {"repo": "acme/other"}})
    with pytest.raises(PayloadUnreadableError, match="digest"):
        open_payload(event)


def test_payload_that_is_gone_without_being_erased_is_said_to_be(cast: Cast) -> None:
    event = make_kept(cast)
    _with_triggers_off("DELETE FROM audit_payload", [])
    with pytest.raises(PayloadUnreadableError, match="gone"):
        open_payload(event)


def test_erase_leaves_the_event_and_says_when_and_by_whom(cast: Cast) -> None:
    event, other = make_kept(cast), make_kept(cast, cast.bob)
    before = AuditEvent.objects.filter(pk=event.pk).values().get()

    assert erase_payloads(organization=cast.acme, user=cast.alice, actor=make_actor(user=cast.carol)) == Erased(1, 1)

    with pytest.raises(PayloadErasedError) as refused:
        open_payload(event)
    key = PayloadKey.objects.get(user_id=cast.alice.pk)
    assert (refused.value.at, refused.value.by) == (key.erased_at, "Carol Clark")
    assert bytes(key.sealed_key) == b""
    assert open_payload(other).document == CONTENT
    assert Payload.objects.get().call == other.call
    assert AuditEvent.objects.filter(pk=event.pk).values().get() == before
    recorded = AuditEvent.objects.get(type="payload.erased")
    assert (recorded.organization_id, recorded.user_id) == (cast.acme.pk, cast.carol.pk)
    assert recorded.details == {"of_user": str(cast.alice.pk), "name": "Alice Adams", "keys": 1, "payloads": 1}


def test_erase_twice_erases_and_records_once(cast: Cast) -> None:
    make_kept(cast)
    erase_payloads(organization=cast.acme, user=cast.alice)
    assert erase_payloads(organization=cast.acme, user=cast.alice) == Erased(0, 0)
    assert AuditEvent.objects.filter(type="payload.erased").count() == 1


def test_erase_in_one_organization_leaves_the_others(cast: Cast) -> None:
    event = make_kept(cast)
    assert erase_payloads(organization=cast.globex, user=cast.alice) == Erased(0, 0)
    assert open_payload(event).document == CONTENT


def test_content_kept_after_erasing_has_another_key_and_stays(cast: Cast) -> None:
    before = make_kept(cast)
    erase_payloads(organization=cast.acme, user=cast.alice)
    after = make_kept(cast)
    assert open_payload(after).document == CONTENT
    with pytest.raises(PayloadErasedError):
        open_payload(before)


def test_show_records_who_looked_at_what(cast: Cast) -> None:
    event = make_kept(cast)
    assert show_payload(event=event, actor=make_actor(user=cast.carol)).document == CONTENT
    viewed = AuditEvent.objects.get(type="payload.viewed")
    assert (viewed.user_id, viewed.organization_id, viewed.capability) == (cast.carol.pk, cast.acme.pk, "create_issue")
    assert viewed.details == {
        "event": str(event.pk),
        "call": str(event.call),
        "phase": "requested",
        "level": "full",
        "of_user": str(cast.alice.pk),
    }


def test_show_erased_records_nothing(cast: Cast) -> None:
    event = make_kept(cast)
    erase_payloads(organization=cast.acme, user=cast.alice)
    with pytest.raises(PayloadErasedError):
        show_payload(event=event, actor=Actor(user_name="Carol"))
    assert not AuditEvent.objects.filter(type="payload.viewed").exists()


def test_ocsf_never_carries_content(cast: Cast) -> None:
    event = make_kept(cast)
    event.refresh_from_db()
    assert SECRET not in json.dumps(to_ocsf(event), default=str)
    assert to_ocsf(event)["unmapped"]["details"] == {"payload": event.details["payload"]}


REFUSED = {
    "change a payload": "UPDATE audit_payload SET sealed = ''",
    "delete a payload that can be read": "DELETE FROM audit_payload",
    "empty the payloads": "TRUNCATE audit_payload",
    "change a key": "UPDATE audit_payloadkey SET sealed_key = '\\x00'",
    "give away a key": "UPDATE audit_payloadkey SET user_id = uuidv7(), erased_at = now(), sealed_key = ''",
    "erase without emptying": "UPDATE audit_payloadkey SET erased_at = now()",
    "delete a key": "DELETE FROM audit_payloadkey",
    "empty the keys": "TRUNCATE audit_payloadkey",
}


@pytest.mark.parametrize("name", REFUSED)
def test_database_refuses_to(cast: Cast, name: str) -> None:
    event = make_kept(cast)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REFUSED[name])
    assert open_payload(event).document == CONTENT


def test_payload_goes_with_its_event(cast: Cast) -> None:
    """As when a month of the log is dropped."""
    make_kept(cast)
    _with_triggers_off("DELETE FROM audit_auditevent", [])
    assert Payload.objects.all().delete()[0] == 1


def test_database_refuses_to_bring_back_an_erased_key(cast: Cast) -> None:
    make_kept(cast)
    sealed = bytes(PayloadKey.objects.get().sealed_key)
    erase_payloads(organization=cast.acme, user=cast.alice)
    with pytest.raises(DatabaseError, match="only be erased"), transaction.atomic():
        PayloadKey.objects.update(sealed_key=sealed, erased_at=None)


def _with_triggers_off(statement: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        for table in ("auditevent", "payload", "payloadkey"):
            cursor.execute(f"ALTER TABLE audit_{table} DISABLE TRIGGER USER")
        cursor.execute(statement, parameters)
        for table in ("auditevent", "payload", "payloadkey"):
            cursor.execute(f"ALTER TABLE audit_{table} ENABLE TRIGGER USER")


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
