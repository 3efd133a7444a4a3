"""Events are durable before a call goes on, share commits, and never take one another down."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import pytest
from django.db import DatabaseError, connection, transaction
from uuid_utils import uuid7

from audit.models import AuditEvent, Payload
from gateway.audit_log import _TYPES, _WIDTHS, AuditLog, encode_row
from gateway.channel import Channel
from gateway.errors import UnavailableError
from tests.gateway.conftest import EventLoop

Event = dict[str, Any]


class Writer:
    """An AuditLog on its loop, for tests that are not."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.log = AuditLog()
        loop.run(self.log.start())

    def write(self, *events: Event, payloads: Mapping[str, bytes] = {}) -> list[BaseException | None]:
        """Write events, those with these calls together with a payload."""
        return self.loop.run(self._write(events, payloads))

    async def _write(self, events: Iterable[Event], payloads: Mapping[str, bytes]) -> list[BaseException | None]:
        writes = (self.log.write(encode_row(event), payloads.get(event["call"])) for event in events)
        return await asyncio.gather(*writes, return_exceptions=True)


@pytest.fixture
def writer(transactional_db: None, event_loop_thread: EventLoop) -> Iterator[Writer]:
    writer = Writer(event_loop_thread)
    yield writer
    event_loop_thread.run(writer.log.stop())


def make_event(**fields: Any) -> Event:
    defaults = {
        "id": str(uuid7()),
        "occurred_at": time.time(),
        "type": "capability.invoked",
        "call": str(uuid.uuid4()),
        "phase": "requested",
        "outcome": "",
        "organization_id": str(uuid.uuid4()),
        "application_id": str(uuid.uuid4()),
        "application_name": "PR-Bot",
    }
    return {**defaults, **fields}


def test_write_full_event_stores_every_column(writer: Writer) -> None:
    values = {
        "user_id": str(uuid.uuid4()),
        "user_name": "Alice Adams",
        "integration_id": str(uuid.uuid4()),
        "integration": "github",
        "capability": "create_issue",
        "connection_id": str(uuid.uuid4()),
        "account": "alice@github",
        "session": "s-1",
        "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "source_address": "2001:db8::1",
        "policy_version": 2**40,
        "decision": {"effect": "allow", "layers": [{"layer": "org"}]},
        "arguments_digest": "ab" * 32,
        "latency_us": 1234,
        "details": {"text": 'quote " backslash \\ ü', "number": 1.5},
    }
    event = make_event(phase="completed", outcome="ok", **values)
    assert writer.write(event) == [None]
    stored = AuditEvent.objects.get(pk=event["id"])
    for name, value in values.items():
        actual = getattr(stored, name)
        assert (str(actual) if isinstance(actual, uuid.UUID) else actual) == value, name
    assert (stored.type, stored.phase, stored.outcome) == ("capability.invoked", "completed", "ok")
    assert str(stored.call) == event["call"]
    assert stored.occurred_at.timestamp() == pytest.approx(event["occurred_at"], abs=1e-5)
    assert abs(stored.recorded_at.timestamp() - time.time()) < 60


def test_statement_names_every_column_with_its_width() -> None:
    fields = {field.name: field for field in AuditEvent._meta.concrete_fields}
    assert set(_TYPES) == set(fields) - {"recorded_at"}
    texts = [fields[name] for name, type_ in _TYPES.items() if type_ == "text"]
    assert {field.name: field.max_length for field in texts if not field.choices} == _WIDTHS


def test_write_minimal_event_leaves_the_rest_empty(writer: Writer) -> None:
    event = make_event()
    writer.write(event)
    stored = AuditEvent.objects.get(pk=event["id"])
    assert (stored.user_id, stored.source_address, stored.decision, stored.details) == (None, None, None, {})


def test_write_together_shares_commits(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write(make_event())
    sizes: list[int] = []
    execute = Channel.execute

    def count(self: Channel, name: str, values: Any) -> Any:
        sizes.append(values[0].count(b'"phase"'))
        return execute(self, name, values)

    monkeypatch.setattr(Channel, "execute", count)
    assert writer.write(*(make_event() for _ in range(500))) == [None] * 500
    assert AuditEvent.objects.count() == 501
    assert len(sizes) <= 3


def test_write_same_phase_twice_adds_nothing(writer: Writer) -> None:
    first = make_event(capability="first")
    again = make_event(call=first["call"], capability="again")
    completed = make_event(call=first["call"], phase="completed")
    assert writer.write(first, again, completed) == [None] * 3
    assert writer.write(again) == [None]
    assert list(AuditEvent.objects.order_by("id").values_list("capability", "phase")) == [
        ("first", "requested"),
        ("", "completed"),
    ]


ODD_TEXTS = {
    "NUL": ("a\0b", "a\ufffdb"),
    "escaped NUL that is text": ("a\\u0000b", "a\\ufffdb"),
    "half a surrogate pair": ("a\ud800b", "a?b"),
    "emoji": ("🙂", "🙂"),
    "too long": ("x" * 999, "x" * 255),
    "too long and wide": ("ü" * 999, "ü" * 255),
    "SQL": ("'); DROP TABLE audit_auditevent; --", "'); DROP TABLE audit_auditevent; --"),
}


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_write_odd_text_stores_what_can_be_stored(writer: Writer, name: str) -> None:
    given, stored = ODD_TEXTS[name]
    event = make_event(capability=given, details={"deep": [{given[:9]: given}]})
    assert writer.write(event) == [None]
    row = AuditEvent.objects.get(pk=event["id"])
    assert row.capability == stored
    assert list(row.details["deep"][0].values()) == [stored if len(given) < 255 else given]


def test_write_event_that_can_not_be_stored_fails_alone(writer: Writer) -> None:
    events = [make_event() for _ in range(3)]
    bad = make_event(application_id="not-a-uuid")
    refused = make_event(source_address="nowhere")
    results = writer.write(events[0], bad, events[1], refused, events[2])
    assert [type(result) for result in results] == [
        type(None),
        UnavailableError,
        type(None),
        UnavailableError,
        type(None),
    ]
    assert AuditEvent.objects.count() == 3


def test_write_goes_on_for_others_when_one_is_cancelled(writer: Writer) -> None:
    async def cancel_one() -> list[Any]:
        tasks = [asyncio.ensure_future(writer.log.write(encode_row(make_event()))) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = writer.loop.run(cancel_one())
    assert isinstance(results[3], asyncio.CancelledError)
    assert [result for position, result in enumerate(results) if position != 3] == [None] * 9
    assert AuditEvent.objects.count() == 10


def test_write_after_the_connection_was_ended_connects_again(writer: Writer) -> None:
    assert writer.write(make_event()) == [None]
    for _ in range(3):
        _end_connections()
        assert writer.write(*(make_event() for _ in range(5))) == [None] * 5
    assert AuditEvent.objects.count() == 16


def test_write_to_a_log_that_is_locked_is_refused_in_time_and_not_made_up_for_later(writer: Writer) -> None:
    writer.write(make_event())
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE audit_auditevent IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        results = writer.write(*(make_event() for _ in range(3)))
        assert time.monotonic() - started < 2
        assert all(isinstance(result, UnavailableError) for result in results)
    time.sleep(0.3)
    assert AuditEvent.objects.count() == 1
    assert writer.write(make_event()) == [None]
    assert AuditEvent.objects.count() == 2


def test_write_more_than_can_wait_is_refused_at_once(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit_log._MOST_WAITING", 10)
    results = writer.write(*(make_event() for _ in range(15)))
    assert sum(isinstance(result, UnavailableError) for result in results) == 5
    assert AuditEvent.objects.count() == 10


def make_payload(event: Event, **fields: Any) -> bytes:
    names = {name: event[name] for name in ("call", "phase", "organization_id")}
    return orjson.dumps({**names, "key_id": str(uuid.uuid4()), "sealed": "c2VhbGVk", **fields})


def test_write_with_payloads_stores_each_with_its_event_in_one_statement(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(make_event())
    events = [make_event() for _ in range(20)]
    payloads = {event["call"]: make_payload(event) for event in events[::2]}
    statements: list[str] = []
    execute = Channel.execute

    def note(self: Channel, name: str, values: Any) -> Any:
        statements.append(name)
        return execute(self, name, values)

    monkeypatch.setattr(Channel, "execute", note)
    assert writer.write(*events, payloads=payloads) == [None] * 20
    assert statements == ["insert with payloads"]
    assert set(Payload.objects.values_list("call", flat=True)) == {uuid.UUID(call) for call in payloads}
    assert {bytes(row.sealed) for row in Payload.objects.all()} == {b"sealed"}
    assert writer.write(*events, payloads=payloads) == [None] * 20
    assert (AuditEvent.objects.count(), Payload.objects.count()) == (21, 10)
    writer.write(make_event())
    assert statements[-1] == "insert"


def test_write_payload_that_can_not_be_stored_stores_its_event_neither(writer: Writer) -> None:
    good, bad = make_event(), make_event()
    payloads = {good["call"]: make_payload(good), bad["call"]: make_payload(bad, sealed="no base64!")}
    results = writer.write(good, bad, payloads=payloads)
    assert [type(result) for result in results] == [type(None), UnavailableError]
    assert str(AuditEvent.objects.get().call) == str(Payload.objects.get().call) == good["call"]


def test_write_many_payloads_takes_them_in_parts(writer: Writer) -> None:
    events = [make_event() for _ in range(250)]
    payloads = {event["call"]: make_payload(event, sealed="A" * 8_000) for event in events}
    assert writer.write(*events, payloads=payloads) == [None] * 250
    assert Payload.objects.count() == AuditEvent.objects.count() == 250


def test_stop_writes_what_is_waiting(writer: Writer) -> None:
    async def write_and_stop() -> None:
        waiting = asyncio.gather(*(writer.log.write(encode_row(make_event())) for _ in range(50)))
        await asyncio.sleep(0)
        await writer.log.stop()
        await waiting

    writer.loop.run(write_and_stop())
    assert AuditEvent.objects.count() == 50


def test_written_event_can_not_be_changed_in_the_database(writer: Writer) -> None:
    event = make_event()
    writer.write(event)
    for statement in ("UPDATE audit_auditevent SET outcome = 'ok'", "DELETE FROM audit_auditevent"):
        with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(statement)
    assert AuditEvent.objects.get(pk=event["id"]).outcome == ""


def _end_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            ["kontext gateway audit log"],
        )
