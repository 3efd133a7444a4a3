"""What was kept of a call's content, on the page of its event: for owners and administrators, each time recorded."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import display

from audit.models import AuditEvent
from orgs.administration.access import WRITERS, get_access
from orgs.administration.actions import get_change_url, object_action
from orgs.http import make_actor
from orgs.payloads import can_be_shown, describe_payload
from orgs.services.show_payload import show_payload

# An auditor sees that a call was made and how it was decided, and not what it said.
PAYLOAD_READERS = WRITERS


class PayloadMixin:
    """For the admin of audit events: offer `show_content` as an action, `content_shown` as a field."""

    def has_payload_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        organizations = [obj.organization_id] if obj is not None and obj.organization_id is not None else []
        return get_access(request).covers(organizations, PAYLOAD_READERS)

    @object_action(
        description="Show the content",
        consequence="You will see what was kept of this call's arguments or result. That you looked at it is recorded, "
        "with your name.",
        button="Show it",
        icon="visibility",
        permission="payload",
        is_offered=can_be_shown,
    )
    def show_content(self, request: HttpRequest, obj: AuditEvent) -> HttpResponse:
        opened = show_payload(event=obj, actor=make_actor(user=request.user))
        site: Any = self.admin_site  # type: ignore[attr-defined]
        context = {
            **site.each_context(request),
            "opts": obj._meta,
            "original": obj,
            "title": "Content",
            "opened": opened,
            "kept": describe_payload(obj),
            "back_url": get_change_url(self, obj),
        }
        response = TemplateResponse(request, "admin/kontext/content.html", context)
        response["Cache-Control"] = "no-store, private"
        return response

    @display(description="content")
    def content_shown(self, obj: AuditEvent) -> str:
        return describe_payload(obj) if obj.phase else "-"
