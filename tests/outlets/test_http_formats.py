"""Splunk, Elastic and OTLP: what is posted, and which answers count as delivered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from pytest_django import Settings

from orgs import outbound
from orgs.outlets.base import RefusedError, UnreachableError
from orgs.outlets.configured import get_outlets
from orgs.outlets.otlp import encode_request
from tests.audit.trees import ACME
from tests.outlets.collectors import Transport, make_batch

pytestmark = pytest.mark.django_db
SECRET = "secret-of-the-collector"
SPLUNK, ELASTIC, OTLP = "https://splunk.test/collector", "https://elastic.test:9200/", "https://otlp.test/v1/logs"


@pytest.fixture
def transport(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Transport:
    settings.EVENT_STREAM_SPLUNK, settings.EVENT_STREAM_SPLUNK_TOKEN = SPLUNK, SECRET
    settings.EVENT_STREAM_ELASTIC, settings.EVENT_STREAM_ELASTIC_API_KEY = ELASTIC, SECRET
    settings.EVENT_STREAM_OTLP, settings.EVENT_STREAM_OTLP_HEADERS = OTLP, f"X-Key={SECRET}%3D, X-Other=b"
    transport = Transport()
    monkeypatch.setattr(outbound, "_transports", [transport])
    return transport


def send(name: str, transport: Transport, answer: Any, status: int = 200) -> tuple[str, dict[str, str], bytes]:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    transport.answers = [(status, body)]
    get_outlets()[name].send(make_batch())
    method, url, headers, sent = transport.requests[-1]
    assert method == "POST"
    return url, headers, sent


def test_splunk_gets_each_event_in_its_envelope(transport: Transport, settings: Settings) -> None:
    settings.EVENT_STREAM_SPLUNK_INDEX, settings.PUBLIC_URL = "audit", "https://kontext.test"
    url, headers, body = send("splunk", transport, {"text": "Success", "code": 0})
    assert (url, headers["Authorization"]) == (SPLUNK, f"Splunk {SECRET}")
    first, second = (json.loads(line) for line in body.splitlines())
    assert first["event"]["metadata"]["sequence"] + 1 == second["event"]["metadata"]["sequence"] == 8
    assert first["time"] == first["event"]["time"] / 1000
    assert (first["index"], first["host"], first["sourcetype"]) == ("audit", "kontext.test", "_json")


@pytest.mark.parametrize("answer", [{"text": "Invalid token", "code": 4}, {}, b"<html>", b"", [0]])
def test_splunk_that_does_not_say_success_has_nothing(transport: Transport, answer: Any) -> None:
    with pytest.raises(RefusedError):
        send("splunk", transport, answer)


def test_elastic_gets_each_event_under_its_identifier(transport: Transport) -> None:
    url, headers, body = send("elastic", transport, {"errors": False, "items": []})
    assert url.startswith("https://elastic.test:9200/_bulk?")
    assert headers == {"Content-Type": "application/x-ndjson", "Authorization": f"ApiKey {SECRET}"}
    lines = [json.loads(line) for line in body.splitlines()]
    assert body.endswith(b"\n")
    assert [set(line) for line in lines[::2]] == [{"create"}] * 2
    assert [line["create"]["_id"] for line in lines[::2]] == [line["metadata"]["uid"] for line in lines[1::2]]
    assert lines[0]["create"]["_index"] == "kontext-audit"
    assert lines[1]["@timestamp"].endswith("+00:00")


def items(*statuses: Any) -> list[Any]:
    return [{"create": {"status": status, "error": {"type": "mapper_parsing_exception"}}} for status in statuses]


def test_elastic_that_has_an_event_already_has_it(transport: Transport) -> None:
    send("elastic", transport, {"errors": True, "items": items(409, 201)})


@pytest.mark.parametrize(
    "answer",
    [
        {"errors": True, "items": items(201, 400)},
        {"errors": True, "items": items(429, 201)},
        {"errors": True, "items": items(201)},
        {"errors": True, "items": [{"create": {}}, "x"]},
        {"errors": True},
        {"items": "x"},
        {},
        b"",
    ],
    ids=str,
)
def test_elastic_that_misses_one_event_has_none(transport: Transport, answer: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        send("elastic", transport, answer)
    assert SECRET not in str(refused.value)


def test_elastic_says_why_it_did_not_take_an_event(transport: Transport) -> None:
    with pytest.raises(RefusedError, match=r"mapper_parsing_exception \(HTTP 400\)"):
        send("elastic", transport, {"errors": True, "items": items(201, 400)})


def test_otlp_gets_records_that_the_official_package_reads(transport: Transport) -> None:
    url, headers, body = send("otlp", transport, ExportLogsServiceResponse().SerializeToString())
    assert (url, headers["X-Key"], headers["X-Other"]) == (OTLP, f"{SECRET}=", "b")
    assert headers["Content-Type"] == "application/x-protobuf"
    [resource] = ExportLogsServiceRequest.FromString(body).resource_logs
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes} == {
        "service.name": "kontext",
        "kontext.log": str(ACME),
    }
    first, second = resource.scope_logs[0].log_records
    assert (first.event_name, first.severity_text) == ("person.signed_in", "INFO")
    fields = {pair.key: pair.value for pair in second.body.kvlist_value.values}
    assert fields["class_uid"].int_value == 3002
    assert second.time_unix_nano == fields["time"].int_value * 1_000_000
    metadata = {pair.key: pair.value for pair in fields["metadata"].kvlist_value.values}
    assert metadata["sequence"].int_value == 8
    assert second.attributes[0].value.string_value == metadata["uid"].string_value


@pytest.mark.parametrize(
    ("trace", "length"), [("0af7651916cd43dd8448eb211c80319c", 16), ("", 0), ("xyz", 0), ("aa", 0)]
)
def test_otlp_keeps_a_trace_id_of_the_right_length(trace: str, length: int) -> None:
    batch = make_batch(1)
    batch.events[0].trace_id = trace
    request = ExportLogsServiceRequest.FromString(encode_request(batch))
    assert len(request.resource_logs[0].scope_logs[0].log_records[0].trace_id) == length


def test_otlp_carries_every_kind_of_json() -> None:
    batch = make_batch(1)
    batch.events[0].details = {"none": None, "big": 2**70, "yes": True, "half": 0.5, "list": [1, "a", {}], "é": {}}
    assert ExportLogsServiceRequest.FromString(encode_request(batch))


@pytest.mark.parametrize(
    "answer", [b"\xff\xff", ExportLogsPartialSuccess(rejected_log_records=1)], ids=["junk", "some"]
)
def test_otlp_that_rejects_a_record_is_asked_again(transport: Transport, answer: Any) -> None:
    if isinstance(answer, ExportLogsPartialSuccess):
        answer = ExportLogsServiceResponse(partial_success=answer).SerializeToString()
    with pytest.raises(RefusedError):
        send("otlp", transport, answer)


@pytest.mark.parametrize("name", ["splunk", "elastic", "otlp"])
@pytest.mark.parametrize(("status", "error"), [(401, RefusedError), (503, RefusedError), (0, UnreachableError)])
def test_failure_says_what_it_was_and_no_secret(
    transport: Transport, name: str, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error) as failed:
        send(name, transport, SECRET.encode(), status)
    assert SECRET not in str(failed.value) + repr(get_outlets())
