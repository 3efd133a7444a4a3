"""OpenTelemetry logs, by OTLP over HTTP as protobuf: one record an event, whose body is OCSF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.models import AuditEvent
from orgs.outlets.base import Batch, RefusedError, post

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

_TYPE = "application/x-protobuf"
_SCOPE = "kontext.audit"
_INFO, _WARN, _ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
_SEVERITY = {"ok": _INFO, "": _INFO, "cancelled": _INFO, "denied": _WARN, "error_auth": _WARN}


@dataclass(frozen=True)
class OtlpOutlet:
    """`url` is the whole address, such as https://collector.example:4318/v1/logs."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = "otlp"

    def send(self, batch: Batch) -> None:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        response = post(self.url, encode_request(batch), {**self.headers, "Content-Type": _TYPE})
        try:
            answer = ExportLogsServiceResponse.FromString(response.body)
        except DecodeError:
            raise RefusedError("its answer is no OTLP") from None
        # OTLP would have us forget what it rejects. An audit trail has no events to forget.
        if answer.partial_success.rejected_log_records:
            raise RefusedError(f"it rejected {answer.partial_success.rejected_log_records} records of a batch")


def from_settings() -> OtlpOutlet | None:
    if not settings.EVENT_STREAM_OTLP:
        return None
    try:
        import opentelemetry.proto.logs.v1.logs_pb2  # noqa: F401
    except ImportError:
        text = "KONTEXT_EVENT_STREAM_OTLP needs the package opentelemetry-proto: install the extra `otlp`"
        raise ImproperlyConfigured(text) from None
    return OtlpOutlet(settings.EVENT_STREAM_OTLP, _read_headers(settings.EVENT_STREAM_OTLP_HEADERS))


def encode_request(batch: Batch) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    records = [_make_record(event, body) for event, body in zip(batch.events, batch.to_ocsf(), strict=True)]
    scope = ScopeLogs(scope=InstrumentationScope(name=_SCOPE), log_records=records)
    resource = Resource(attributes=_make_pairs({"service.name": "kontext", "kontext.log": batch.log}))
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])])
    encoded: bytes = request.SerializeToString()
    return encoded


def _make_record(event: AuditEvent, body: dict[str, Any]) -> LogRecord:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    number, text = _SEVERITY.get(event.outcome, _ERROR)
    return LogRecord(
        time_unix_nano=body["time"] * 1_000_000,
        observed_time_unix_nano=body["metadata"]["logged_time"] * 1_000_000,
        severity_number=number,  # type: ignore[arg-type]
        severity_text=text,
        event_name=event.type,
        trace_id=_read_trace(event.trace_id),
        attributes=_make_pairs({"log.record.uid": str(event.pk)}),
        body=_make_value(body),
    )


def _make_value(value: Any) -> AnyValue:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=_make_pairs(value)))
    if isinstance(value, list | tuple):
        return AnyValue(array_value=ArrayValue(values=[_make_value(inner) for inner in value]))
    return AnyValue() if value is None else AnyValue(string_value=str(value))


def _make_pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    return [KeyValue(key=str(key), value=_make_value(value)) for key, value in values.items()]


def _read_trace(trace_id: str) -> bytes:
    """Return the sixteen bytes of a W3C trace ID, or none: a collector refuses any other length."""
    try:
        decoded = bytes.fromhex(trace_id)
    except ValueError:
        return b""
    return decoded if len(decoded) == 16 else b""


def _read_headers(text: str) -> dict[str, str]:
    """Read `name=value,name=value` with percent-encoded values, as OpenTelemetry's own variables have it."""
    pairs = [entry.partition("=") for entry in text.split(",") if entry.strip()]
    if any(not separator or not name.strip() for name, separator, _ in pairs):
        raise ImproperlyConfigured("KONTEXT_EVENT_STREAM_OTLP_HEADERS must read name=value,name=value")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
