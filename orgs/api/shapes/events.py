"""The audit trail: its events, the calls they tell of (traces), and the same by the hosted service's names."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import AuditEvent, Outcome, Phase
from audit.types import EventType
from orgs.api.serializers import CamelSerializer, NullableObjectField, ObjectField, PageQuery

# The hosted service has five. A refusal and a cancelled call are no fault of anybody's: warn.
STATUS_BY_OUTCOME = {
    "ok": "ok",
    "denied": "warn",
    "cancelled": "warn",
    "error_remote": "error_remote",
    "error_proxy": "error_proxy",
    "error_auth": "error_auth",
}
STATUSES = ("ok", "warn", "error_remote", "error_proxy", "error_auth")
_STATUS_SCHEMA = {
    "type": "string",
    "nullable": True,
    "enum": [*STATUSES, None],
    "description": "`warn` is a refusal or a cancelled call; null while the call is under way.",
}
OUTCOMES = [value for value, _ in Outcome.choices if value]
PHASES = [value for value, _ in Phase.choices if value]


class ReferenceSerializer(CamelSerializer):
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()


class EventSerializer(CamelSerializer):
    """One immutable record, with the names things had at the time."""

    id = serializers.UUIDField()
    type = serializers.CharField()
    outcome = serializers.CharField(help_text=f"Empty while a call is under way, or one of {', '.join(OUTCOMES)}.")
    phase = serializers.CharField(help_text=f"Of a call: {', '.join(PHASES)}. Empty for everything else.")
    occurred_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()
    call_id = serializers.UUIDField(allow_null=True)
    user = serializers.SerializerMethodField(method_name="get_user")
    application = serializers.SerializerMethodField(method_name="get_application")
    integration = serializers.SerializerMethodField(method_name="get_integration")
    capability = serializers.CharField()
    connection_id = serializers.UUIDField(allow_null=True)
    account = serializers.CharField(help_text="Whose account at the integration was used.")
    session_id = serializers.CharField(source="session")
    request_id = serializers.CharField()
    trace_id = serializers.CharField(help_text="W3C trace ID, where the caller sent one.")
    source_address = serializers.CharField(allow_null=True)
    policy_version = serializers.IntegerField(allow_null=True)
    decision = NullableObjectField(help_text="Why it was decided so, layer by layer.")
    arguments_digest = serializers.CharField(help_text="HMAC-SHA-256 of the arguments under the organization's key.")
    latency_us = serializers.IntegerField(allow_null=True, help_text="Microseconds.")
    details = ObjectField()

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_user(self, event: AuditEvent) -> dict[str, Any] | None:
        return refer(event.user_id, event.user_name)

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_application(self, event: AuditEvent) -> dict[str, Any] | None:
        return refer(event.application_id, event.application_name)

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_integration(self, event: AuditEvent) -> dict[str, Any] | None:
        return refer(event.integration_id, event.integration)


class PayloadSerializer(CamelSerializer):
    """What was kept of a call's content at an event."""

    event_id = serializers.UUIDField()
    level = serializers.ChoiceField(choices=["summary", "full"])
    is_cut = serializers.BooleanField(help_text="It was too large to keep more than a summary.")
    content = ObjectField(help_text="`arguments` at the event of a request or a denial, then `result` or `error`.")


class McpEventSerializer(CamelSerializer):
    """One event of the gateway, by the hosted service's names."""

    id = serializers.UUIDField()
    timestamp = serializers.DateTimeField(source="occurred_at")
    type = serializers.CharField()
    status = serializers.SerializerMethodField(method_name="get_status")
    phase = serializers.CharField()
    trace_id = serializers.UUIDField(source="call_id", allow_null=True)
    user_id = serializers.UUIDField(allow_null=True)
    application_id = serializers.UUIDField(allow_null=True)
    integration_id = serializers.UUIDField(allow_null=True)
    tool_id = serializers.SerializerMethodField(method_name="get_tool_id")
    session_id = serializers.CharField(source="session")
    request_id = serializers.CharField()
    duration_ms = serializers.SerializerMethodField(method_name="get_duration_ms")

    @extend_schema_field(_STATUS_SCHEMA)
    def get_status(self, event: AuditEvent) -> str | None:
        return STATUS_BY_OUTCOME.get(event.outcome)

    def get_tool_id(self, event: AuditEvent) -> str:
        return make_tool_id(event)

    def get_duration_ms(self, event: AuditEvent) -> float | None:
        return to_milliseconds(event.latency_us)


class TraceSerializer(CamelSerializer):
    """One call from its first event to its last."""

    id = serializers.UUIDField(source="first.call")
    status = serializers.SerializerMethodField(method_name="get_status")
    outcome = serializers.CharField(source="last.outcome")
    tool_id = serializers.SerializerMethodField(method_name="get_tool_id")
    user = serializers.SerializerMethodField(method_name="get_user")
    application = serializers.SerializerMethodField(method_name="get_application")
    integration = serializers.SerializerMethodField(method_name="get_integration")
    capability = serializers.CharField(source="first.capability")
    account = serializers.CharField(source="last.account")
    session_id = serializers.CharField(source="first.session")
    request_id = serializers.CharField(source="first.request_id")
    started_at = serializers.DateTimeField(source="first.occurred_at")
    completed_at = serializers.SerializerMethodField(method_name="get_completed_at")
    duration_ms = serializers.SerializerMethodField(method_name="get_duration_ms")
    policy_version = serializers.IntegerField(source="first.policy_version", allow_null=True)

    @extend_schema_field(_STATUS_SCHEMA)
    def get_status(self, trace: Any) -> str | None:
        return STATUS_BY_OUTCOME.get(trace.last.outcome) if trace.is_complete else None

    def get_tool_id(self, trace: Any) -> str:
        return make_tool_id(trace.first)

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_user(self, trace: Any) -> dict[str, Any] | None:
        return refer(trace.first.user_id, trace.first.user_name)

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_application(self, trace: Any) -> dict[str, Any] | None:
        return refer(trace.first.application_id, trace.first.application_name)

    @extend_schema_field(ReferenceSerializer(allow_null=True))
    def get_integration(self, trace: Any) -> dict[str, Any] | None:
        return refer(trace.first.integration_id, trace.first.integration)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_completed_at(self, trace: Any) -> Any:
        return trace.last.occurred_at if trace.is_complete else None

    def get_duration_ms(self, trace: Any) -> float | None:
        return to_milliseconds(trace.last.latency_us)


class TraceDetailSerializer(TraceSerializer):
    decision = NullableObjectField(source="first.decision")
    events = EventSerializer(many=True)


class CountSerializer(CamelSerializer):
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    total = serializers.IntegerField()
    denied = serializers.IntegerField()
    failed = serializers.IntegerField()


class BucketSerializer(CamelSerializer):
    start = serializers.DateTimeField()
    total = serializers.IntegerField()
    denied = serializers.IntegerField()
    failed = serializers.IntegerField()


class StatsSerializer(CamelSerializer):
    """Calls of a period: how many, how they ended, how long they took, whose they were."""

    period = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    total = serializers.IntegerField()
    ok = serializers.IntegerField()
    denied = serializers.IntegerField()
    failed = serializers.IntegerField()
    pending = serializers.IntegerField(help_text="Begun, and not ended yet.")
    cancelled = serializers.IntegerField()
    duration_ms_p50 = serializers.FloatField(allow_null=True)
    duration_ms_p95 = serializers.FloatField(allow_null=True)
    buckets = BucketSerializer(many=True, help_text="By hour for 1d, else by day (UTC).")
    applications = CountSerializer(many=True, help_text="The ten with the most calls.")
    capabilities = CountSerializer(many=True, help_text="The ten with the most calls.")


class TimeRangeQuery(PageQuery):
    since = serializers.DateTimeField(
        required=False, help_text="Not earlier than this (ISO 8601): 30 days before `until` if not given."
    )
    until = serializers.DateTimeField(required=False, help_text="Earlier than this: now if not given.")
    application_id = serializers.UUIDField(required=False)
    user_id = serializers.UUIDField(required=False)
    integration_id = serializers.UUIDField(required=False)
    capability = serializers.CharField(max_length=255, required=False, help_text="Without the integration's name.")
    session_id = serializers.CharField(max_length=128, required=False)
    request_id = serializers.CharField(max_length=64, required=False)


class EventQuery(TimeRangeQuery):
    type = serializers.ChoiceField(choices=[(type_.value, type_.value) for type_ in EventType], required=False)
    outcome = serializers.ChoiceField(choices=OUTCOMES, required=False)
    phase = serializers.ChoiceField(choices=PHASES, required=False)
    call_id = serializers.UUIDField(required=False)


class TraceQuery(TimeRangeQuery):
    # Of the call's last event, not of the one that the other filters are about.
    outcome = serializers.ChoiceField(source="result", choices=OUTCOMES, required=False)


class McpEventQuery(TimeRangeQuery):
    status = serializers.ChoiceField(choices=STATUSES, required=False)


class StatsQuery(CamelSerializer):
    period = serializers.ChoiceField(choices=["1d", "7d", "30d"], default="1d")


def refer(key: Any, name: str) -> dict[str, Any] | None:
    return {"id": key, "name": name} if key is not None or name else None


def make_tool_id(event: AuditEvent) -> str:
    """Return `github:create_issue`, the name a call's capability has everywhere."""
    return ":".join(filter(None, [event.integration, event.capability]))


def to_milliseconds(microseconds: int | None) -> float | None:
    return microseconds / 1000 if microseconds is not None else None
