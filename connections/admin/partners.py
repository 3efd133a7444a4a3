"""How a product's own sign-in is trusted, for the people that it sends here to connect."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import display

from connections.models import ExternalAuth
from connections.services.set_external_auth import set_external_auth
from orgs.admin_site import LinesField, OrganizationForm, OrganizationModelAdmin, WriteOnlySecretField
from orgs.http import make_actor

_GIVEN = ("is_enabled", "issuer", "jwks_url", "audience", "required_claims", "max_token_age_seconds")
_LISTS = ("allowed_algorithms", "allowed_return_urls")


class ExternalAuthForm(OrganizationForm):
    allowed_algorithms = LinesField(label="Algorithms", initial=["ES256", "RS256"], help_text="One a line.")
    allowed_return_urls = LinesField(
        label="Return URLs", required=False, help_text="One a line: where people may be sent back to, exactly."
    )
    partner_api_key = WriteOnlySecretField(
        label="The product's key",
        help_text="At least 32 random characters. Only its digest is kept; empty keeps the present one.",
    )

    class Meta:
        model = ExternalAuth
        fields = ("organization", "application", *_GIVEN, *_LISTS)


@admin.register(ExternalAuth)
class ExternalAuthAdmin(OrganizationModelAdmin):
    form = ExternalAuthForm
    list_display = ("application", "issuer", "is_enabled", "updated_at")
    list_filter = ("is_enabled",)
    list_select_related = ("application",)
    search_fields = ("application__name", "issuer")
    fields = ("organization", "application", *_GIVEN, *_LISTS, "partner_api_key", "has_key")
    readonly_fields = ("has_key",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "application") if obj is not None else fields

    def perform_save(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> ExternalAuth:
        given = {name: form.cleaned_data[name] for name in (*_GIVEN, *_LISTS)}
        return set_external_auth(
            application=obj.application,
            partner_api_key=form.cleaned_data["partner_api_key"],
            actor=make_actor(user=request.user),
            **given,
        )

    @display(description="key", boolean=True)
    def has_key(self, obj: ExternalAuth) -> bool:
        return bool(obj.partner_api_key_digest)
