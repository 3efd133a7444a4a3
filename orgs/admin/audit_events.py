"""The audit trail as administrators and auditors read it. Nothing here can add, change or delete an event."""

from __future__ import annotations

import base64
import json
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from audit.models import AuditEvent
from audit.proofs import NotSealedError, prove_event
from orgs.admin.charts import show_charts
from orgs.admin.explorer import describe_neighbours, show_histogram, show_list, show_timeline
from orgs.admin.payloads import PayloadMixin
from orgs.admin_site import OrganizationModelAdmin
from orgs.administration.activity import EVENT_READERS
from orgs.explorer.reading import find_decisions
from orgs.models import Organization
from orgs.templatetags.kontext_ui import layer_bar, status_chip


@admin.register(AuditEvent)
class AuditEventAdmin(PayloadMixin, OrganizationModelAdmin):  # type: ignore[misc]
    """Append-only, in the database too: triggers refuse every UPDATE, DELETE and TRUNCATE."""

    is_read_only: ClassVar[bool] = True
    has_events: ClassVar[bool] = False
    reader_roles = EVENT_READERS
    actions_detail = ("show_content",)
    change_form_outer_after_template = "admin/kontext/event_related.html"
    fieldsets = (
        (None, {"fields": ("type", "outcome_shown", "phase", "occurred_at", "recorded_at", "organization_name")}),
        ("Decision", {"fields": ("decision_shown", "policy_version")}),
        ("Who", {"fields": ("user_name", "user_id", "application_name", "application_id", "source_address")}),
        ("What", {"fields": ("integration", "capability", "account", "connection_id", "latency", "arguments_digest")}),
        ("Details", {"fields": ("details_shown", "content_shown")}),
        ("Trace", {"fields": ("call", "request_id", "trace_id", "session", "id")}),
        ("Proof", {"fields": ("proof_shown",)}),
    )
    readonly_fields = (
        "outcome_shown",
        "organization_name",
        "latency",
        "decision_shown",
        "details_shown",
        "content_shown",
        "proof_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        name = Organization.objects.filter(pk=OuterRef("organization_id")).values("name")
        events: QuerySet[Any] = super().get_queryset(request).annotate(organization_name=Subquery(name))
        return events

    def get_urls(self) -> Any:
        timeline = path("timeline/", self.admin_site.admin_view(self.timeline), name="audit_auditevent_timeline")
        histogram = path("histogram/", self.admin_site.admin_view(self.histogram), name="audit_auditevent_histogram")
        charts = path("charts/", self.admin_site.admin_view(self.charts), name="audit_auditevent_charts")
        return [timeline, histogram, charts, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, str] | None = None) -> Any:
        """The list is the explorer: Django's own counts and pages by number, which a long log is too long for."""
        return show_list(self, request)

    def timeline(self, request: HttpRequest) -> HttpResponse:
        return show_timeline(self, request)

    def histogram(self, request: HttpRequest) -> HttpResponse:
        return show_histogram(request)

    def charts(self, request: HttpRequest) -> HttpResponse:
        return show_charts(self, request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        event = self.get_object(request, unquote(object_id)) if object_id else None
        found = describe_neighbours(request, event) if event is not None else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **found})

    @display(description="outcome")
    def outcome_shown(self, obj: AuditEvent) -> SafeString:
        return status_chip(obj.outcome)

    @display(description="organization", empty_value="the installation")
    def organization_name(self, obj: Any) -> str | None:
        name: str | None = obj.organization_name
        return name

    @display(description="latency")
    def latency(self, obj: AuditEvent) -> str:
        return f"{obj.latency_us / 1000:.1f} ms" if obj.latency_us is not None else "-"

    @display(description="decision")
    def decision_shown(self, obj: AuditEvent) -> SafeString | str:
        decision = obj.decision or (find_decisions([obj]).get(obj.call) if obj.phase and obj.call else None)
        if not decision:
            return "None was needed."
        return format_html(
            '<div class="k-open-bar">{}</div><details class="more"><summary>As recorded</summary>{}</details>',
            layer_bar(decision, person="User"),
            _as_json(decision),
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
