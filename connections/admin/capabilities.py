"""Capabilities: what was discovered, in which class, and what changed since somebody looked."""

from __future__ import annotations

import difflib
import json
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant

from connections.definitions import digest_definition
from connections.models import Capability
from connections.services.accept_capability import accept_capability, confirm_class
from orgs.admin_site import OrganizationForm, OrganizationModelAdmin, form_action, get_events_url
from orgs.http import make_actor
from orgs.templatetags.kontext_ui import copy_id, status_chip

_TONES = {"read": "allow", "write": "ask", "destructive": "deny"}


class CapabilityForm(OrganizationForm):
    class Meta:
        model = Capability
        fields = ("klass",)
        help_texts: ClassVar[dict[str, str]] = {
            "klass": "The integration's own annotations are claims. Saving confirms the class, whatever they say.",
        }


class AcceptForm(forms.Form):
    """Carries which definition was read: another one is not accepted with it."""

    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)


@admin.register(Capability)
class CapabilityAdmin(OrganizationModelAdmin):
    form = CapabilityForm
    can_be_added: ClassVar[bool] = False  # discovered, never entered
    can_be_deleted: ClassVar[bool] = False
    list_display = ("name_shown", "integration", "klass_shown", "confirmed", "status_shown", "digest_shown")
    list_filter = ("status", "klass", "klass_confirmed", "integration", "kind")
    list_select_related = ("integration",)
    search_fields = ("name", "title", "description", "integration__name", "integration__slug", "digest")
    search_help_text = "Search names, titles, descriptions, integrations and digests"
    fieldsets = (
        (None, {"fields": ("integration", "name", "kind", "title", "description", "status_shown")}),
        ("What it does", {"fields": ("klass", "klass_confirmed", "claims")}),
        ("Change since it was accepted", {"fields": ("difference",)}),
        ("Definition", {"fields": ("digest_copied", "arguments", "definition_shown", "discovered_at", "id")}),
    )
    readonly_fields = (
        "integration",
        "name",
        "kind",
        "title",
        "description",
        "status_shown",
        "klass_confirmed",
        "claims",
        "difference",
        "digest_copied",
        "arguments",
        "definition_shown",
        "discovered_at",
        "id",
    )
    actions_detail = ("accept",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        return sections if obj is None or _is_held(obj) else [part for part in sections if part[1] != _DIFFERENCE]

    def get_event_condition(self, row: Capability) -> Q:
        # Events name a capability in words: some with its integration, some without.
        return Q(integration_id=row.integration_id, capability__in=(row.name, str(row)))

    def get_events_url(self, row: Capability) -> str:
        return f"{get_events_url(row.integration)}&{urlencode({'q': row.name})}"

    def perform_save(self, request: HttpRequest, obj: Capability, form: ModelForm[Any], change: bool) -> Capability:
        stored: Capability = self.get_stored(obj)
        return confirm_class(capability=stored, klass=form.cleaned_data["klass"], actor=make_actor(user=request.user))

    @form_action(
        form=lambda capability, posted: AcceptForm(posted, initial={"seen": _digest_held(capability)}),
        shown=lambda capability: show_difference(capability),
        description="Accept the change",
        consequence="The new definition takes the place of the one that was accepted, and calls work again. Read the "
        "difference first: a description is an instruction to whatever model reads it.",
        button="Accept the new definition",
        done="Accepted: the capability works again.",
        variant=ActionVariant.SUCCESS,
        is_offered=lambda capability: _is_held(capability),
    )
    def accept(self, request: HttpRequest, obj: Capability, form: forms.Form) -> None:
        if form.cleaned_data["seen"] != _digest_held(obj):
            raise ValidationError("The definition has changed once more since you opened this page. Read it again.")
        accept_capability(capability=obj, actor=make_actor(user=request.user))

    @display(description="capability", ordering="name")
    def name_shown(self, obj: Capability) -> str:
        return str(obj)

    @display(description="class", ordering="klass")
    def klass_shown(self, obj: Capability) -> SafeString:
        return show_class(obj)

    @display(description="class confirmed", ordering="klass_confirmed", boolean=True)
    def confirmed(self, obj: Capability) -> bool:
        return obj.klass_confirmed

    @display(description="status", ordering="status")
    def status_shown(self, obj: Capability) -> SafeString:
        return status_chip(obj.status)

    @display(description="digest", ordering="digest")
    def digest_shown(self, obj: Capability) -> SafeString:
        return show_digest(obj)

    @display(description="digest (SHA-256)")
    def digest_copied(self, obj: Capability) -> SafeString | str:
        return copy_id(obj.digest, "digest") if obj.digest else "Not pinned yet"

    @display(description="the integration's claims")
    def claims(self, obj: Capability) -> SafeString | str:
        annotations = obj.definition.get("annotations") if isinstance(obj.definition, dict) else None
        return _show_json(annotations) if annotations else "It makes none, so it is taken to destroy."

    @display(description="arguments")
    def arguments(self, obj: Capability) -> SafeString | str:
        return _show_json(obj.input_schema) if obj.input_schema else "None."

    @display(description="whole definition")
    def definition_shown(self, obj: Capability) -> SafeString | str:
        return _show_json(obj.definition) if obj.definition else "None."

    @display(description="difference")
    def difference(self, obj: Capability) -> SafeString:
        return show_difference(obj)


_DIFFERENCE = {"fields": ("difference",)}


def show_class(capability: Capability) -> SafeString:
    """Show what a capability does; not by colour alone."""
    mark = "" if capability.klass_confirmed else " (claimed)"
    return format_html(
        '<span class="chip chip-{}">{}{}</span>', _TONES[capability.klass], capability.get_klass_display(), mark
    )


def show_digest(capability: Capability) -> SafeString:
    return format_html('<code title="{}">{}</code>', capability.digest, capability.digest[:12] or "-")


def show_difference(capability: Capability) -> SafeString:
    lines = compare_definitions(capability.definition, capability.held_definition)
    return SafeString(render_to_string("admin/kontext/_difference.html", {"lines": lines}))


def compare_definitions(accepted: Any, held: Any) -> list[tuple[str, str]]:
    """Return the lines of a difference, each with what it is: added, removed, kept, or skipped."""
    former, present = (
        json.dumps(one, indent=2, ensure_ascii=False, sort_keys=True).splitlines() for one in (accepted, held)
    )
    kinds = {"+": "added", "-": "removed", "@": "skipped"}
    lines = list(difflib.unified_diff(former, present, lineterm="", n=3))[2:]
    return [(kinds.get(line[:1], "kept"), line) for line in lines]


def _is_held(capability: Capability) -> bool:
    return capability.status == Capability.Status.HELD and capability.held_definition is not None


def _digest_held(capability: Capability) -> str:
    return digest_definition(capability.held_definition or {})


def _show_json(value: Any) -> SafeString:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="kontext-json">{}</pre>', text)
