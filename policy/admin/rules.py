from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant

from orgs.admin_site import WRITERS, OrganizationModelAdmin, get_access, object_action
from orgs.http import make_actor
from orgs.models import Membership
from orgs.templatetags.kontext_ui import relative_time, status_chip
from policy.access import may_author
from policy.admin.matrix import show_matrix
from policy.admin.replay import show_replay
from policy.admin.rule_form import EXAMPLE, RuleForm, list_choices
from policy.admin.simulation import show_simulation
from policy.describe import describe_rule
from policy.errors import NotAllowedToAuthorError
from policy.findings import find_warnings
from policy.models import Rule
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.update_rule import update_rule
from policy.state import FIELDS

AUTHORS = WRITERS | {Membership.Role.POLICY_AUTHOR}


@admin.register(Rule)
class RuleAdmin(OrganizationModelAdmin):
    form = RuleForm
    writer_roles = AUTHORS
    refusals = (*OrganizationModelAdmin.refusals, NotAllowedToAuthorError)
    list_display = ("sentence", "layer_shown", "effect_shown", "state_shown", "reason", "changed")
    list_filter = ("layer", "effect", "mode", "is_enabled", "integration", "application", "group")
    search_fields = (
        "capability",
        "reason",
        "user__name",
        "user__email",
        "group__name",
        "application__name",
        "integration__name",
        "integration__slug",
    )
    search_help_text = "Search capabilities, reasons, people, groups, applications and integrations"
    autocomplete_fields = ("user", "group", "application", "integration")
    list_before_template = "admin/kontext/rules_intro.html"
    fieldsets = (
        (None, {"fields": ("sentence_shown", "findings_shown", "organization", "layer", "effect")}),
        ("Who", {"fields": ("user", "group", "application"), "description": "Whom the rule is about."}),
        ("What", {"fields": ("integration", "capability", "klass")}),
        (
            "Only where",
            {
                "fields": ("argument", "operator", "value", "conditions"),
                "description": format_html(
                    "One condition in the three fields, or several as JSON:<pre class='kontext-json'>{}</pre>"
                    "A condition on an argument that a call lacks makes an allow not match, and a deny match.",
                    EXAMPLE,
                ),
            },
        ),
        ("At most", {"fields": ("limit_count", "limit_period", "limit_per")}),
        ("How", {"fields": ("reason", "valid_from", "valid_until", "mode", "is_enabled")}),
        ("Details", {"fields": ("created_by", "created_at", "updated_at", "id"), "classes": ("collapse",)}),
    )
    readonly_fields = ("sentence_shown", "findings_shown", "created_by", "created_at", "updated_at", "id")
    actions_detail = ("switch_off", "switch_on")

    def get_urls(self) -> Any:
        choices = path("choices/", self.admin_site.admin_view(self.choices), name="policy_rule_choices")
        simulate = path("simulate/", self.admin_site.admin_view(self.simulate), name="policy_rule_simulate")
        matrix = path("matrix/", self.admin_site.admin_view(self.matrix), name="policy_rule_matrix")
        replay = path("replay/", self.admin_site.admin_view(self.replay), name="policy_rule_replay")
        return [choices, simulate, matrix, replay, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .select_related("user", "group", "application", "integration", "organization", "created_by")
        )
        return rows

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A person's own layer is theirs alone, also against administrators.
        is_theirs = obj is None or may_author(request.user, obj)  # type: ignore[arg-type]
        return super().has_change_permission(request, obj) and is_theirs

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self.has_change_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.access = get_access(request)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        if obj is None:
            return [(None, {"fields": ("organization", "layer", "effect")}), *sections[1:-1]]
        if not self.has_change_permission(request, obj):
            return [(title, _without_entry_fields(options)) for title, options in sections]
        return sections

    def perform_save(self, request: HttpRequest, obj: Rule, form: ModelForm[Any], change: bool) -> Rule:
        given = {name: form.cleaned_data[name] for name in FIELDS}
        author: Any = request.user
        actor = make_actor(user=request.user)
        if change:
            saved = update_rule(rule=self.get_stored(obj), author=author, actor=actor, **given)
        else:
            saved = create_rule(organization=obj.organization, author=author, actor=actor, **given)
        for warning in find_warnings(saved):
            messages.warning(request, warning.sentence)
        return saved

    def perform_delete(self, request: HttpRequest, obj: Rule) -> None:
        author: Any = request.user
        delete_rule(rule=obj, author=author, actor=make_actor(user=request.user))

    @object_action(
        description="Switch off",
        consequence=lambda rule: f"“{describe_rule(rule)}” no longer counts, in every gateway within a second.",
        done="Switched off.",
        variant=ActionVariant.DANGER,
        is_offered=lambda rule: rule.is_enabled,
    )
    def switch_off(self, request: HttpRequest, obj: Rule) -> None:
        self._switch(request, obj, is_enabled=False)

    @object_action(
        description="Switch on",
        consequence=lambda rule: "The rule counts again, in every gateway within a second.",
        done="Switched on.",
        is_offered=lambda rule: not rule.is_enabled,
    )
    def switch_on(self, request: HttpRequest, obj: Rule) -> None:
        self._switch(request, obj, is_enabled=True)

    def choices(self, request: HttpRequest) -> HttpResponse:
        """Answer the form's script: what there is to choose, given what is chosen already."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = {name: request.GET.get(name, "") for name in ("integration", "capability", "argument")}
        return JsonResponse(list_choices(get_access(request), **given))

    def simulate(self, request: HttpRequest) -> HttpResponse:
        return show_simulation(self, request)

    def matrix(self, request: HttpRequest) -> HttpResponse:
        return show_matrix(self, request)

    def replay(self, request: HttpRequest) -> HttpResponse:
        return show_replay(self, request)

    def _switch(self, request: HttpRequest, rule: Rule, *, is_enabled: bool) -> None:
        author: Any = request.user
        update_rule(rule=rule, author=author, actor=make_actor(user=request.user), is_enabled=is_enabled)

    @display(description="rule")
    def sentence(self, obj: Rule) -> str:
        return describe_rule(obj)

    @display(description="rule")
    def sentence_shown(self, obj: Rule) -> SafeString:
        return format_html("<strong>{}.</strong>", describe_rule(obj))

    @display(description="worth knowing")
    def findings_shown(self, obj: Rule) -> SafeString | str:
        lines = [(warning.sentence,) for warning in find_warnings(obj)]
        items = format_html_join("", "<li>{}</li>", lines)
        return format_html('<ul class="kontext-findings">{}</ul>', items) if lines else "Nothing stands in its way."

    @display(description="layer", ordering="layer")
    def layer_shown(self, obj: Rule) -> str:
        return obj.get_layer_display()

    @display(description="effect", ordering="effect")
    def effect_shown(self, obj: Rule) -> SafeString:
        return status_chip(obj.effect)

    @display(description="state", ordering="is_enabled")
    def state_shown(self, obj: Rule) -> SafeString:
        if not obj.is_enabled:
            return status_chip("disabled")
        if obj.mode == Rule.Mode.SHADOW:
            return status_chip("draft", "Only recorded")
        return status_chip("active", "In force")

    @display(description="changed", ordering="updated_at")
    def changed(self, obj: Rule) -> SafeString | str:
        return relative_time(obj.updated_at)


def get_simulation_url() -> str:
    return reverse("admin:policy_rule_simulate")


def _without_entry_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Who may only read a rule reads its conditions from what is stored, not from the fields they are entered in."""
    entered = ("argument", "operator", "value")
    fields = [name for name in options["fields"] if name not in entered]
    return {**options, "fields": fields}


__all__ = ["AUTHORS", "RuleAdmin", "get_simulation_url"]
