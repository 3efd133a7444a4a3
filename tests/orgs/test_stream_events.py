"""The stream: every sealed event, in its tree's order, again until it is taken, and never one past a refused one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from audit.models import Leaf, Tree
from audit.services.seal import seal_events
from orgs import outbound
from orgs.outbound import OutboundError, OutboundResponse
from orgs.services import stream_events as module
from orgs.services.stream_events import stream_events
from tests.audit.trees import ACME, GLOBEX, record, sign

pytestmark = pytest.mark.django_db
SECRET = "Splunk secret-of-the-collector"


class Collector:
    """Takes, refuses or breaks as it is told, and remembers what came."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.batches: list[list[str]] = []

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
        assert (method, url, headers["Authorization"]) == ("POST", "https://collector.test/", SECRET)
        self.batches.append([json.loads(line)["metadata"]["uid"] for line in (body or b"").splitlines()])
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            raise OutboundError("no answer")
        return OutboundResponse(status, {}, b"")


@pytest.fixture
def collector(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Collector:
    settings.EVENT_STREAM_URL, settings.EVENT_STREAM_AUTHORIZATION = "https://collector.test/", SECRET
    settings.EVENT_STREAM_FILE = ""
    collector = Collector()
    monkeypatch.setattr(outbound, "_transports", [collector])
    monkeypatch.setattr(module, "MOST_EVENTS", 4)
    return collector


def seal(count: int, organization_id: Any = ACME) -> None:
    record(count, organization_id=organization_id)
    seal_events(sign=sign)


def sealed(organization_id: Any = ACME) -> list[str]:
    leaves = Leaf.objects.filter(tree__organization_id=organization_id).order_by("index")
    return [str(key) for key in leaves.values_list("event_id", flat=True)]


def test_stream_sends_everything_once_and_in_order(collector: Collector) -> None:
    seal(10)
    seal(3, GLOBEX)
    record(1)  # not sealed yet
    assert stream_events(seconds=10) == 13
    assert stream_events(seconds=10) == 0
    sent = [uid for batch in collector.batches for uid in batch]
    assert [uid for uid in sent if uid in sealed()] == sealed()[:10]
    assert [uid for uid in sent if uid in sealed(GLOBEX)] == sealed(GLOBEX)
    assert len(sent) == 13


@pytest.mark.parametrize("failure", [500, 403, 0])
def test_stream_sends_a_refused_batch_again_before_what_follows(
    collector: Collector, failure: int, caplog: pytest.LogCaptureFixture
) -> None:
    seal(6)
    collector.answers = [200, failure]
    assert stream_events(seconds=10) == 4
    assert stream_events(seconds=10) == 2
    assert [len(batch) for batch in collector.batches] == [4, 2, 2]
    assert collector.batches[1] == collector.batches[2] == sealed()[4:]
    assert SECRET not in caplog.text


def test_stream_to_a_file_appends(settings: Any, tmp_path: Path, collector: Collector) -> None:
    settings.EVENT_STREAM_URL, settings.EVENT_STREAM_FILE = "", str(tmp_path / "new" / "events.jsonl")
    seal(5)
    assert stream_events(seconds=10) == 5
    seal(2)
    assert stream_events(seconds=10) == 2
    lines = Path(settings.EVENT_STREAM_FILE).read_text().splitlines()
    assert [json.loads(line)["metadata"]["uid"] for line in lines] == sealed()


def test_stream_that_is_not_wanted_does_nothing(settings: Any, collector: Collector) -> None:
    settings.EVENT_STREAM_URL = ""
    seal(2)
    assert stream_events(seconds=10) == 0
    assert Tree.objects.get().streamed_size == 0
