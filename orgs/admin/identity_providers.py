from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from orgs.admin_site import LinesField, OrganizationForm, OrganizationModelAdmin, WriteOnlySecretField, object_action
from orgs.http import make_actor
from orgs.models import IdentityProvider
from orgs.services.check_identity_provider import check_identity_provider
from orgs.services.set_identity_provider import delete_identity_provider, set_identity_provider
from orgs.templatetags.kontext_ui import copy_id, status_chip

_GIVEN = ("name", "issuer", "client_id", "client_secret", "email_domains", "scopes", "group_claim", "is_enabled")


class IdentityProviderForm(OrganizationForm):
    client_secret = WriteOnlySecretField(label="Client secret")
    email_domains = LinesField(
        label="E-mail domains",
        required=False,
        help_text="One a line, such as acme.com. People who enter an address of one of them are sent to this provider.",
    )

    class Meta:
        model = IdentityProvider
        fields = ("organization", "name", "issuer", "client_id", "email_domains", "scopes", "group_claim", "is_enabled")
        labels: ClassVar[dict[str, str]] = {"client_id": "Client ID", "is_enabled": "People sign in here"}
        help_texts: ClassVar[dict[str, str]] = {
            "issuer": "Exactly as the provider's own metadata writes it, such as https://acme.okta.com.",
            "scopes": "With a space between. openid is always asked for.",
            "group_claim": "The claim that lists a person's groups. Empty: the provider's groups are not taken over.",
        }


@admin.register(IdentityProvider)
class IdentityProviderAdmin(OrganizationModelAdmin):
    form = IdentityProviderForm
    list_display = ("name", "issuer", "domains", "enabled_shown")
    list_filter = ("is_enabled",)
    search_fields = ("name", "issuer", "client_id", "email_domains")
    fieldsets = (
        (
            None,
            {
                "fields": ("organization", "name", "issuer", "client_id", "client_secret", "redirect_uri"),
                "description": "Any OpenID Connect provider: Okta, Entra ID, Google, Keycloak, Auth0. Register Kontext "
                "there as a web application with the redirect URI below, which is known once this is saved.",
            },
        ),
        ("Who signs in here", {"fields": ("email_domains", "scopes", "group_claim", "is_enabled")}),
    )
    readonly_fields = ("redirect_uri",)
    actions_detail = ("test_discovery",)

    def perform_save(
        self, request: HttpRequest, obj: IdentityProvider, form: ModelForm[Any], change: bool
    ) -> IdentityProvider:
        given = {name: form.cleaned_data[name] for name in _GIVEN}
        provider = self.get_stored(obj) if change else None
        organization = provider.organization if provider else obj.organization
        return set_identity_provider(
            organization=organization, provider=provider, actor=make_actor(user=request.user), **given
        )

    def perform_delete(self, request: HttpRequest, obj: IdentityProvider) -> None:
        delete_identity_provider(provider=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Test discovery",
        consequence="Kontext fetches the provider's metadata, as each sign-in does, and says what would fail. "
        "Nothing is changed.",
        button="Fetch the metadata",
        permission="view",
    )
    def test_discovery(self, request: HttpRequest, obj: IdentityProvider) -> None:
        found = check_identity_provider(provider=obj)
        messages.info(
            request, f"People are sent to {found.authorization_endpoint}, tokens come from {found.token_endpoint}."
        )
        if not found.supports_pkce:
            messages.warning(request, "The provider doesn't say that it supports PKCE (S256). Sign-in sends it anyway.")
        if found.missing_scopes:
            messages.warning(request, f"The provider doesn't offer the scopes {' '.join(found.missing_scopes)}.")

    @display(description="redirect URI")
    def redirect_uri(self, obj: IdentityProvider) -> SafeString | str:
        if obj is None or obj._state.adding:
            return "Shown once this is saved."
        return copy_id(f"{settings.PUBLIC_URL}/sso/{obj.pk}/complete/", "redirect URI")

    @display(description="e-mail domains", empty_value="-")
    def domains(self, obj: IdentityProvider) -> str | None:
        return ", ".join(obj.email_domains) or None

    @display(description="status", ordering="is_enabled")
    def enabled_shown(self, obj: IdentityProvider) -> SafeString:
        return status_chip("active") if obj.is_enabled else status_chip("disabled")
