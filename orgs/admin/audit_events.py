"""The audit trail as administrators and auditors read it. Nothing here can add, change or delete an event."""

from __future__ import annotations

import base64
import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from audit.models import AuditEvent
from audit.proofs import NotSealedError, prove_event
from audit.types import EventType
from orgs.admin_site import OrganizationModelAdmin, get_access
from orgs.administration.activity import EVENT_READERS, is_related_to
from orgs.models import Organization
from orgs.templatetags.kontext_ui import layer_bar, status_chip

_MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than anyone pages: counting millions of events takes longer than reading a page of them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:_MOST_COUNTED].count())


class RelatedFilter(admin.SimpleListFilter):
    """The events in which one object plays a part; object pages link here."""

    title = "related to"
    parameter_name = "related"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        value = request.GET.get(self.parameter_name)
        return [(value, value)] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        try:
            key = UUID(value)
        except ValueError:
            return queryset.none()
        return queryset.filter(is_related_to(key))


class OrganizationFilter(admin.SimpleListFilter):
    title = "organization"
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        access = get_access(request)
        if not access.spans_organizations:
            return []  # there is nothing to choose, but links name their organization
        mine = access.organizations(model_admin.reader_roles)
        rows = Organization.objects.all() if access.is_superuser else Organization.objects.filter(pk__in=mine)
        return [(str(row.pk), row.name) for row in rows[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        try:
            return queryset.filter(organization_id=UUID(value))
        except ValueError:
            return queryset.none()


class TypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(type_.value, type_.value) for type_ in EventType]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(OrganizationModelAdmin):
    """Append-only, in the database too: triggers refuse every UPDATE, DELETE and TRUNCATE."""

    is_read_only: ClassVar[bool] = True
    has_events: ClassVar[bool] = False
    reader_roles = EVENT_READERS
    paginator = BoundedPaginator
    list_display = ("when", "type", "outcome_shown", "who", "application_name", "what", "request_id")
    list_filter = (
        OrganizationFilter,
        RelatedFilter,
        TypeFilter,
        "outcome",
        "phase",
        ("occurred_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    search_fields = (
        "user_name",
        "application_name",
        "integration",
        "capability",
        "account",
        "request_id",
        "trace_id",
        "session",
    )
    search_help_text = "Search people, applications, integrations, capabilities, accounts, request and trace IDs"
    fieldsets = (
        (None, {"fields": ("type", "outcome_shown", "phase", "occurred_at", "recorded_at", "organization_name")}),
        ("Who", {"fields": ("user_name", "user_id", "application_name", "application_id", "source_address")}),
        ("What", {"fields": ("integration", "capability", "account", "connection_id", "latency", "arguments_digest")}),
        ("Decision", {"fields": ("decision_shown", "policy_version")}),
        ("Details", {"fields": ("details_shown",)}),
        ("Trace", {"fields": ("call", "request_id", "trace_id", "session", "id")}),
        ("Proof", {"fields": ("proof_shown",)}),
    )
    readonly_fields = (
        "outcome_shown",
        "organization_name",
        "latency",
        "decision_shown",
        "details_shown",
        "proof_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        name = Organization.objects.filter(pk=OuterRef("organization_id")).values("name")
        events: QuerySet[Any] = super().get_queryset(request).annotate(organization_name=Subquery(name))
        return events

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = list(super().get_list_display(request))
        if get_access(request).spans_organizations:
            columns.insert(1, "organization_name")
        return columns

    @display(description="time (UTC)", ordering="id")
    def when(self, obj: AuditEvent) -> SafeString:
        exact = obj.occurred_at.isoformat()
        shown = obj.occurred_at.strftime("%Y-%m-%d %H:%M:%S")
        return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, shown)

    @display(description="outcome", ordering="outcome")
    def outcome_shown(self, obj: AuditEvent) -> SafeString:
        return status_chip(obj.outcome)

    @display(description="user", ordering="user_name", empty_value="-")
    def who(self, obj: AuditEvent) -> str | None:
        return obj.user_name or None

    @display(description="what", empty_value="-")
    def what(self, obj: AuditEvent) -> str | None:
        return obj.target or None

    @display(description="organization", empty_value="the installation")
    def organization_name(self, obj: Any) -> str | None:
        name: str | None = obj.organization_name
        return name

    @display(description="latency")
    def latency(self, obj: AuditEvent) -> str:
        return f"{obj.latency_us / 1000:.1f} ms" if obj.latency_us is not None else "-"

    @display(description="decision")
    def decision_shown(self, obj: AuditEvent) -> SafeString | str:
        if not obj.decision:
            return "None was needed."
        bar = layer_bar(obj.decision, person="User")
        shown = render_to_string("_layer_bar.html", bar) if bar["bar"] is not None else ""
        return format_html(
            '<div class="k-open-bar">{}</div><details class="more"><summary>As recorded</summary>{}</details>',
            SafeString(shown),
            _as_json(obj.decision),
        )

    @display(description="details")
    def details_shown(self, obj: AuditEvent) -> SafeString | str:
        return _as_json(obj.details) if obj.details else "None."

    @display(description="in the tree")
    def proof_shown(self, obj: AuditEvent) -> SafeString | str:
        try:
            proof = prove_event(obj.pk)
        except NotSealedError:
            return "Not sealed yet: that takes a second."
        shown = {
            "leafIndex": proof.index,
            "leafVersion": proof.version,
            "leafData": proof.data,
            "hashes": [base64.b64encode(hash_).decode() for hash_ in proof.hashes],
            "checkpoint": proof.checkpoint.note,
        }
        return format_html(
            'Leaf {} of {}, sealed and signed.<details class="more"><summary>Inclusion proof</summary>{}</details>',
            proof.index,
            proof.checkpoint.size,
            _as_json(shown),
        )


def _as_json(value: Any) -> SafeString:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return format_html('<pre class="kontext-json">{}</pre>', text)
