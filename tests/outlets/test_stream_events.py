"""The stream: every sealed event, in its tree's order, again until it is taken, and never one past a refused one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Outlet, OutletPosition
from orgs import outbound, tasks
from orgs.outlets.base import RefusedError, UnreachableError
from orgs.outlets.configured import get_outlets
from orgs.services import stream_events as module
from orgs.services.stream_events import stream_events
from tests.audit.trees import ACME, GLOBEX, record
from tests.outlets.collectors import Memory, Transport, retry_now, seal, sealed

pytestmark = pytest.mark.django_db
SECRET = "Splunk secret-of-the-collector"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 4)


def stream(outlet: Memory) -> int:
    return stream_events(outlet, seconds=10)


def test_stream_sends_everything_once_and_in_order() -> None:
    outlet = Memory()
    seal(10)
    seal(3, GLOBEX)
    record(1)  # not sealed yet
    assert stream(outlet) == 13
    assert stream(outlet) == 0
    assert outlet.received(ACME) == sealed(ACME)[:10]
    assert outlet.received(GLOBEX) == sealed(GLOBEX)
    assert [batch.start for batch in outlet.batches if batch.log == str(ACME)] == [0, 4, 8]
    assert outlet.batches[0].to_ocsf()[3]["metadata"]["sequence"] == 3


def test_stream_to_several_keeps_a_position_of_each() -> None:
    one, other = Memory("one"), Memory("other", failures=[RefusedError("full")])
    seal(3)
    assert (stream(one), stream(other)) == (3, 0)
    seal(3)
    retry_now()
    assert (stream(one), stream(other)) == (3, 6)
    assert one.received() == other.received() == sealed()


@pytest.mark.parametrize("failure", [RefusedError("it answered HTTP 403"), UnreachableError("no answer")])
def test_stream_sends_a_refused_batch_again_before_what_follows(failure: Any) -> None:
    outlet = Memory(failures=[None, failure])
    seal(10)
    assert stream(outlet) == 4
    assert stream(outlet) == 0  # not at once
    position = OutletPosition.objects.get()
    assert (position.failures, position.error) == (1, str(failure))
    assert position.failing_since is not None
    retry_now()
    assert stream(outlet) == 6
    assert outlet.received() == sealed()
    position = OutletPosition.objects.get()
    assert (position.failures, position.error, position.failing_since) == (0, "", None)


def test_stream_that_is_refused_again_and_again_rests_longer_each_time() -> None:
    outlet = Memory(failures=[RefusedError("full")] * 9)
    seal(1)
    rests = []
    for _ in range(9):
        stream(outlet)
        position = OutletPosition.objects.get()
        assert position.retry_at is not None
        rests.append(round((position.retry_at - timezone.now()).total_seconds()))
        retry_now()
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert stream(outlet) == 1


def test_stream_goes_on_with_other_trees_while_one_is_refused() -> None:
    outlet = Memory(failures=[RefusedError("mapping")])
    seal(2)
    seal(2, GLOBEX)
    assert stream(outlet) == 2
    assert len({batch.log for batch in outlet.batches}) == 1


def test_stream_to_nobody_tries_one_tree_and_rests() -> None:
    outlet = Memory(failures=[UnreachableError("no answer")])
    seal(2)
    seal(2, GLOBEX)
    assert stream(outlet) == 0
    assert stream(outlet) == 0
    assert outlet.batches == []
    Outlet.objects.update(busy_until=timezone.now())
    assert stream(outlet) == 2  # the tree that was not tried; the other one's own rest goes on


def test_stream_of_one_who_died_goes_on_after_its_lease() -> None:
    """Killed between the destination's answer and our note of it: nobody else sends meanwhile, then all again."""
    outlet = Memory()
    seal(3)
    Outlet.objects.create(name="memory", busy_until=timezone.now() + dt.timedelta(seconds=30))
    assert stream(outlet) == 0
    Outlet.objects.update(busy_until=timezone.now() - dt.timedelta(seconds=1))
    assert stream(outlet) == 3
    assert Outlet.objects.get().busy_until is None


def test_stream_that_lost_its_lease_sends_nothing_more() -> None:
    class Slow(Memory):
        def send(self, batch: Any) -> None:
            super().send(batch)
            Outlet.objects.update(busy_until=timezone.now() + dt.timedelta(seconds=59))  # another has begun

    outlet = Slow()
    seal(8)
    assert stream(outlet) == 4
    assert len(outlet.batches) == 1
    assert Outlet.objects.get().busy_until is not None


def test_stream_gives_each_tree_its_turn() -> None:
    outlet = Memory()
    seal(12)
    seal(2, GLOBEX)
    stream(outlet)
    assert [batch.log for batch in outlet.batches][:2] == [str(ACME), str(GLOBEX)]


def test_stream_never_passes_over_an_event_that_is_gone() -> None:
    outlet = Memory()
    seal(6)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_auditevent WHERE id = %s", [sealed()[2]])
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER USER")
    assert stream(outlet) == 2
    assert stream(outlet) == 0
    assert "sealed and gone" in OutletPosition.objects.get().error


def test_stream_by_http_posts_lines_and_keeps_its_secret(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EVENT_STREAM_URL, settings.EVENT_STREAM_AUTHORIZATION = "https://collector.test/", SECRET
    settings.EVENT_STREAM_FILE = ""
    transport = Transport(answers=[(403, SECRET.encode())])
    monkeypatch.setattr(outbound, "_transports", [transport])
    seal(3)
    outlets = get_outlets()
    assert list(outlets) == ["http"]
    assert stream_events(outlets["http"], seconds=10) == 0
    retry_now()
    assert stream_events(outlets["http"], seconds=10) == 3
    method, url, headers, body = transport.requests[-1]
    assert (method, url) == ("POST", "https://collector.test/")
    assert headers == {"Content-Type": "application/x-ndjson", "Authorization": SECRET}
    assert [json.loads(line)["metadata"]["uid"] for line in body.splitlines()] == sealed()
    assert SECRET not in caplog.text + repr(outlets) + str(list(OutletPosition.objects.values()))


def test_stream_to_a_file_appends(settings: Any, tmp_path: Path) -> None:
    settings.EVENT_STREAM_URL, settings.EVENT_STREAM_FILE = "", str(tmp_path / "new" / "events.jsonl")
    seal(5)
    tasks.stream_to("file")
    with Path(settings.EVENT_STREAM_FILE).open("a") as file:
        file.write('{"torn": ')  # a crash in the middle of a write
    seal(2)
    tasks.stream_to("file")
    lines = Path(settings.EVENT_STREAM_FILE).read_text().splitlines()
    assert lines.pop(5) == '{"torn": '
    assert [json.loads(line)["metadata"]["uid"] for line in lines] == sealed()


def test_stream_to_a_file_that_cannot_be_written_is_tried_again(settings: Any, tmp_path: Path) -> None:
    settings.EVENT_STREAM_FILE = str(tmp_path / "events.jsonl")
    (tmp_path / "events.jsonl").mkdir()
    seal(1)
    tasks.stream_to("file")
    assert "can't be written" in OutletPosition.objects.get().error


def test_stream_that_is_not_wanted_does_nothing(settings: Any) -> None:
    settings.EVENT_STREAM_URL = settings.EVENT_STREAM_FILE = ""
    seal(2)
    assert get_outlets() == {}
    tasks.stream()
    tasks.stream_to("file")
    assert not OutletPosition.objects.exists()


def test_stream_gives_each_outlet_a_task_of_its_own(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EVENT_STREAM_FILE, settings.EVENT_STREAM_SYSLOG = "/somewhere", "tls://siem.test"
    given: list[Any] = []
    monkeypatch.setattr(tasks.stream_to, "apply_async", lambda arguments, **options: given.append((arguments, options)))
    tasks.stream()
    assert [arguments for arguments, _ in given] == [("file",), ("syslog",)]
    assert all(options["expires"] < 5 for _, options in given)
