"""Alerts as administrators and auditors read them, and what they want to be alerted of."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTimeWidget,
)

from audit.types import EventType
from orgs.admin_site import OrganizationForm, OrganizationModelAdmin, get_access, link_to, object_action
from orgs.administration.activity import EVENT_READERS
from orgs.alerts.words import get_explorer_path
from orgs.http import make_actor
from orgs.models import Alert, AlertSettings, Application, User
from orgs.models.alerts import DAYS, list_zones
from orgs.services.acknowledge_alert import acknowledge_alert
from orgs.services.set_alert_settings import FIELDS, set_alert_settings
from orgs.templatetags.kontext_ui import relative_time, status_chip

_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@admin.register(Alert)
class AlertAdmin(OrganizationModelAdmin):
    is_read_only: ClassVar[bool] = True
    reader_roles = EVENT_READERS
    list_display = ("title", "state_shown", "kind", "count", "raised_shown")
    list_filter = ("state", "kind")
    search_fields = ("title", "application_name", "reason")
    search_help_text = "Search alerts and applications"
    list_before_template = "admin/kontext/alerts_intro.html"
    fields = (
        "organization",
        "title",
        "state_shown",
        "reason",
        "found_shown",
        "application_shown",
        "first_at",
        "last_at",
        "acknowledged_shown",
    )
    readonly_fields = ("state_shown", "found_shown", "application_shown", "acknowledged_shown")
    actions_detail = ("acknowledge",)
    actions = ("acknowledge_chosen",)

    def has_acknowledge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, obj, self.writer_roles)

    @object_action(
        description="Acknowledge",
        consequence="It is no longer among the open alerts, and the record says that you have looked into it. Nothing "
        "else changes: to stop the application, suspend it or withdraw its rules.",
        done="Acknowledged.",
        variant=ActionVariant.SUCCESS,
        permission="acknowledge",
        is_offered=lambda alert: alert.state == Alert.State.OPEN,
    )
    def acknowledge(self, request: HttpRequest, obj: Alert) -> None:
        assert isinstance(request.user, User)
        acknowledge_alert(alert=obj, user=request.user)

    @admin.action(description="Acknowledge", permissions=["acknowledge"])
    def acknowledge_chosen(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        assert isinstance(request.user, User)
        chosen = [alert for alert in queryset if self.has_acknowledge_permission(request, alert)]
        for alert in chosen:
            acknowledge_alert(alert=alert, user=request.user)
        messages.success(request, f"Acknowledged: {len(chosen)}.")

    @display(description="state", ordering="state")
    def state_shown(self, obj: Alert) -> SafeString:
        return status_chip(obj.state)

    @display(description="raised", ordering="raised_at")
    def raised_shown(self, obj: Alert) -> SafeString | str:
        return relative_time(obj.raised_at)

    @display(description="what was found")
    def found_shown(self, obj: Alert) -> SafeString:
        context = {"alert": obj, "more": obj.count - len(obj.found), "explorer": get_explorer_path(obj)}
        return SafeString(render_to_string("admin/kontext/alert_found.html", context))

    @display(description="application")
    def application_shown(self, obj: Alert) -> SafeString | str:
        known = Application.objects.filter(pk=obj.application_id, organization=obj.organization_id).first()
        return link_to(known, str(known)) if known is not None else f"{obj.application_name}, which was deleted"

    @display(description="acknowledged", empty_value="not yet")
    def acknowledged_shown(self, obj: Alert) -> SafeString | None:
        if obj.acknowledged_at is None:
            return None
        return format_html("{} by {}", relative_time(obj.acknowledged_at), obj.acknowledged_by or "somebody deleted")


class AlertSettingsForm(OrganizationForm):
    days = forms.MultipleChoiceField(
        required=False,
        choices=list(zip(DAYS, _DAY_NAMES, strict=True)),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    zone = forms.ChoiceField(
        label="Time zone", choices=lambda: [(zone, zone) for zone in list_zones()], widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = AlertSettings
        fields = FIELDS
        labels: ClassVar[dict[str, str]] = {
            "new_capability": "Tell of it",
            "denial_spike": "Tell of it",
            "off_hours": "Tell of it",
            "new_network": "Tell of it",
            "denial_floor": "At least so many an hour",
            "denial_factor": "So many times as many as usual",
            "opens": "From",
            "closes": "Until",
            "off_hours_autonomous": "Also what applications do for themselves",
            "network_days": "New is what was not seen for so many days",
            "repeat_hours": "Hours before the same is told again",
        }
        help_texts: ClassVar[dict[str, str]] = {
            "denial_factor": "Usual is the application's own average of the 24 hours before.",
            "closes": "May be after midnight: 22:00 until 06:00 belongs to the day on which it begins.",
            "off_hours_autonomous": "Without it, only calls for people count: jobs run at night.",
            "network_days": "A network is a /24, or a /48 of IPv6. An application's first one is not told of.",
            "repeat_hours": "Of many denials and of calls outside of hours. What is new is told once: whatever else of "
            "its kind an application does within an hour is added to the same alert.",
        }
        widgets: ClassVar[dict[str, Any]] = {
            "opens": UnfoldAdminTimeWidget(format="%H:%M"),
            "closes": UnfoldAdminTimeWidget(format="%H:%M"),
        }


@admin.register(AlertSettings)
class AlertSettingsAdmin(OrganizationModelAdmin):
    can_be_added: ClassVar[bool] = False
    can_be_deleted: ClassVar[bool] = False
    reader_roles = EVENT_READERS
    form = AlertSettingsForm
    list_display = ("organization_shown", "told_of")
    list_filter = ("off_hours", "new_network")
    search_fields = ("organization__name", "organization__slug")
    fieldsets = (
        (None, {"fields": ("organization",)}),
        (
            "New capability",
            {
                "fields": ("new_capability",),
                "description": "An application uses a capability for the first time.",
            },
        ),
        (
            "Many denials",
            {
                "fields": ("denial_spike", "denial_floor", "denial_factor"),
                "description": "An application is denied far more often than it usually is: it tries what it must not, "
                "or a rule is missing.",
            },
        ),
        (
            "New network",
            {
                "fields": ("new_network", "network_days"),
                "description": "An application calls from a network it has not called from: it has moved, or somebody "
                "else has its token.",
            },
        ),
        (
            "Outside of hours",
            {
                "fields": ("off_hours", "days", "opens", "closes", "zone", "off_hours_autonomous"),
                "description": "An application calls for somebody while nobody is at work. Off until you say when that "
                "is.",
            },
        ),
        ("All of them", {"fields": ("repeat_hours",)}),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, str] | None = None) -> Any:
        """Where there is no choice, nobody is asked to choose."""
        rows = list(self.get_queryset(request).values_list("pk", flat=True)[:2])
        if len(rows) == 1 and not get_access(request).spans_organizations:
            return HttpResponseRedirect(self._reverse("change", rows[0]))
        return super().changelist_view(request, extra_context)

    def perform_save(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Any:
        given = {name: form.cleaned_data[name] for name in FIELDS}
        return set_alert_settings(organization=obj.organization, actor=make_actor(user=request.user), **given)

    def get_event_condition(self, row: AlertSettings) -> Q:
        return Q(type=EventType.ALERT_SETTINGS_CHANGED)

    def get_events_url(self, row: AlertSettings) -> str:
        asked = f"organization={row.pk}&type={EventType.ALERT_SETTINGS_CHANGED}&period=all"
        return f"{reverse('admin:audit_auditevent_changelist')}?{asked}"

    @display(description="organization", ordering="organization__name")
    def organization_shown(self, obj: AlertSettings) -> str:
        return str(obj.organization)

    @display(description="told of")
    def told_of(self, obj: AlertSettings) -> str:
        names = {"new_capability": "new capabilities", "denial_spike": "many denials", "new_network": "new networks"}
        names["off_hours"] = "calls outside of hours"
        return ", ".join(words for name, words in names.items() if getattr(obj, name)) or "nothing"
