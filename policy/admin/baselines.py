from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from orgs.admin_site import OrganizationModelAdmin
from orgs.http import make_actor
from orgs.templatetags.kontext_ui import relative_time, status_chip
from policy.admin.rules import AUTHORS
from policy.models import Baseline
from policy.services.set_baseline import set_baseline


@admin.register(Baseline)
class BaselineAdmin(OrganizationModelAdmin):
    """What a layer says when none of its rules does. Without a baseline it denies."""

    writer_roles = AUTHORS
    list_display = ("layer", "effect_shown", "changed")
    list_filter = ("layer", "effect")
    search_fields = ("layer", "effect")
    fieldsets = (
        (
            None,
            {
                "fields": ("organization", "layer", "effect"),
                "description": "A layer in which no rule speaks for a call denies it. A baseline changes that for the "
                "whole organization: with “allow”, the layer only has to be told what to forbid.",
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Baseline | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else (*fields, "layer")

    def perform_save(self, request: HttpRequest, obj: Baseline, form: ModelForm[Any], change: bool) -> Baseline:
        set_baseline(
            organization=obj.organization, layer=obj.layer, effect=obj.effect, actor=make_actor(user=request.user)
        )
        return Baseline.objects.get(organization=obj.organization, layer=obj.layer)

    def perform_delete(self, request: HttpRequest, obj: Baseline) -> None:
        set_baseline(organization=obj.organization, layer=obj.layer, effect=None, actor=make_actor(user=request.user))

    @display(description="effect", ordering="effect")
    def effect_shown(self, obj: Baseline) -> SafeString:
        return status_chip(obj.effect)

    @display(description="changed", ordering="updated_at")
    def changed(self, obj: Baseline) -> SafeString | str:
        return relative_time(obj.updated_at)
