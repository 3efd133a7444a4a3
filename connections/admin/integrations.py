"""The integration's page as a workbench: from an address to something that can be called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from connections.admin.capabilities import show_class, show_digest
from connections.admin.catalogue import show_catalogue, show_entry
from connections.admin.connections import show_connection_status
from connections.catalogue.loading import find_entry
from connections.errors import ConnectionsError
from connections.keys import get_key_fields
from connections.models import ApplicationIntegration, Capability, Connection, Integration, OAuthClient
from connections.services.add_integration import add_integration
from connections.services.change_server import get_redirect_uri
from connections.services.delete_integration import delete_integration
from connections.services.discover_integration import discover_integration
from connections.services.set_oauth_client import set_oauth_client
from connections.services.set_server_token import set_server_token
from connections.services.update_integration import update_integration
from orgs.admin_site import (
    LinesField,
    OrganizationForm,
    OrganizationModelAdmin,
    OrganizationStackedInline,
    OrganizationTabularInline,
    WriteOnlySecretField,
    form_action,
    link_to,
    object_action,
)
from orgs.administration import capture
from orgs.http import make_actor
from orgs.models import CaptureLevel
from orgs.templatetags.kontext_ui import copy_id, relative_time, status_chip

_GIVEN = ("slug", "name", "url", "auth_mode", "category", "key_header", "key_template")


class IntegrationForm(capture.CaptureFormMixin, OrganizationForm):
    capture_level = forms.ChoiceField(
        label="Content of calls",
        required=False,
        choices=[("", "As the organization says"), *CaptureLevel.choices],
        widget=UnfoldAdminSelectWidget,
        help_text="More or less than the organization's own, for this integration alone.",
    )

    class Meta:
        model = Integration
        fields = ("organization", *_GIVEN, *capture.FIELDS)
        labels: ClassVar[dict[str, str]] = {
            "slug": "Short name",
            "auth_mode": "How calls are authenticated",
            "category": "How it is used",
            "key_header": "Header of the key",
            "key_template": "Value of the header",
        }
        help_texts: ClassVar[dict[str, str]] = {
            "slug": "The first half of a capability's name and the end of its address at the gateway.",
            "url": "The MCP endpoint, such as https://api.githubcopilot.com/mcp/, or the base of a plain API.",
            "key_template": "{token} stands for the key.",
        }


class OAuthClientForm(forms.Form):
    """Kontext's registration at the authorization server, as its administrator gave it."""

    client_id = forms.CharField(label="Client ID", max_length=500, widget=UnfoldAdminTextInputWidget)
    client_secret = WriteOnlySecretField(
        label="Client secret",
        help_text="Stored encrypted and never shown again. Leave it empty for a public client.",
    )
    token_endpoint_auth_method = forms.ChoiceField(
        label="How the secret is sent",
        required=False,
        choices=[
            ("", "As the server says"),
            ("client_secret_basic", "In the Authorization header"),
            ("client_secret_post", "In the body"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    scopes = LinesField(label="Scopes", required=False, help_text="One a line: what people are asked to grant.")
    issuer = forms.CharField(
        label="Issuer",
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty: as discovered, else the origin of the authorization endpoint.",
    )
    authorization_endpoint = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)
    token_endpoint = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)
    revocation_endpoint = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)


class ServerKeyForm(forms.Form):
    """The organization's key, in its parts."""

    def __init__(self, integration: Integration, posted: Any) -> None:
        super().__init__(posted)
        for part in get_key_fields(integration):
            words = "It is tried at the integration first, then stored encrypted and never shown again."
            self.fields[part.name] = WriteOnlySecretField(
                label="Key" if part.name == "key" else part.label, required=True, max_length=8192, help_text=words
            )


def _make_client_form(integration: Integration, posted: Any) -> forms.Form:
    client = OAuthClient.objects.filter(integration=integration).first()
    names = ("client_id", "scopes", "issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint")
    known = {name: getattr(client, name) for name in names} if client is not None else {}
    return OAuthClientForm(posted, initial=known)


class OAuthClientInline(OrganizationStackedInline):
    """Who Kontext is at the integration. Entered by the action, or registered by discovery."""

    model = OAuthClient
    is_read_only: ClassVar[bool] = True
    fields = (
        "client_id_shown",
        "registration",
        "has_secret",
        "token_endpoint_auth_method",
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "resource",
        "scopes",
        "registered_at",
    )
    readonly_fields = fields

    @display(description="client ID")
    def client_id_shown(self, obj: OAuthClient) -> SafeString | str:
        return copy_id(obj.client_id, "client ID") if obj.client_id else "None yet: enter the one you were given."

    @display(description="secret")
    def has_secret(self, obj: OAuthClient) -> str:
        return "Stored encrypted" if obj.client_secret else "No secret: a public client"


class CapabilityInline(OrganizationTabularInline):
    model = Capability
    is_read_only: ClassVar[bool] = True
    fields = ("name_shown", "title", "klass_shown", "status_shown", "digest_shown")
    readonly_fields = fields
    per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # What waits for somebody comes first.
        rows: QuerySet[Any] = super().get_queryset(request).select_related("integration")
        return rows.order_by(Case(When(status="held", then=0), default=1), "name")

    @display(description="name")
    def name_shown(self, obj: Capability) -> SafeString:
        return link_to(obj, obj.name)

    @display(description="class")
    def klass_shown(self, obj: Capability) -> SafeString:
        return show_class(obj)

    @display(description="status")
    def status_shown(self, obj: Capability) -> SafeString:
        return status_chip(obj.status)

    @display(description="digest")
    def digest_shown(self, obj: Capability) -> SafeString:
        return show_digest(obj)


class ConnectionInline(OrganizationTabularInline):
    model = Connection
    is_read_only: ClassVar[bool] = True
    fields = ("who", "account", "status_shown", "refreshed")
    readonly_fields = fields
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).select_related("user", "organization", "integration")
        return rows

    @display(description="whose")
    def who(self, obj: Connection) -> SafeString:
        return link_to(obj, str(obj.user) if obj.user else "The organization's own")

    @display(description="status")
    def status_shown(self, obj: Connection) -> SafeString:
        return show_connection_status(obj)

    @display(description="refreshed")
    def refreshed(self, obj: Connection) -> SafeString | str:
        return relative_time(obj.last_refreshed_at)


class ApplicationInline(OrganizationTabularInline):
    model = ApplicationIntegration
    is_read_only: ClassVar[bool] = True  # chosen on the application's page
    fields = ("application", "created_at")
    readonly_fields = fields
    verbose_name_plural = "applications that may use it"


@admin.register(Integration)
class IntegrationAdmin(OrganizationModelAdmin):
    form = IntegrationForm
    inlines = (OAuthClientInline, CapabilityInline, ApplicationInline, ConnectionInline)
    refusals = (*OrganizationModelAdmin.refusals, ConnectionsError)
    list_display = (
        "name",
        "slug",
        "status_shown",
        "auth_mode",
        "capabilities_shown",
        "connections_shown",
        "discovered",
    )
    list_filter = ("status", "auth_mode", "category")
    search_fields = ("name", "slug", "url")
    search_help_text = "Search names and addresses"
    prepopulated_fields: ClassVar[dict[str, Sequence[str]]] = {"slug": ("name",)}
    fieldsets = (
        ("State", {"fields": ("status_shown", "discovery_shown", "known_service", "redirect_uri", "gateway_address")}),
        (None, {"fields": ("organization", "name", "slug", "url", "category", "auth_mode")}),
        (
            "The key, where calls carry one",
            {"fields": ("key_header", "key_template"), "classes": ("collapse",)},
        ),
        (capture.TITLE, {"fields": capture.FIELDS, "description": capture.DESCRIPTION, "classes": ("collapse",)}),
    )
    readonly_fields = ("status_shown", "discovery_shown", "known_service", "redirect_uri", "gateway_address")
    actions_detail = ("discover", "enter_client", "enter_key", "switch_off", "switch_on")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        capabilities = Capability.objects.exclude(status="removed")
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                connected_count=_count(Connection.objects.filter(status="active")),
                capability_count=_count(capabilities),
                held_count=_count(capabilities.filter(status="held")),
            )
        )
        return rows

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        return sections if obj is not None else sections[1:-1]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # An address that others use doesn't follow a new name.
        return {} if obj is not None else super().get_prepopulated_fields(request, obj)

    def perform_save(self, request: HttpRequest, obj: Integration, form: ModelForm[Any], change: bool) -> Integration:
        given = {name: form.cleaned_data[name] for name in _GIVEN}
        actor = make_actor(user=request.user)
        if change:
            given |= {name: form.cleaned_data[name] for name in capture.FIELDS}
            if capture.is_full_from_now_on(form):
                messages.warning(request, capture.WARNING)
            return update_integration(integration=self.get_stored(obj), actor=actor, **given)
        return add_integration(organization=obj.organization, actor=actor, **given)

    def perform_delete(self, request: HttpRequest, obj: Integration) -> None:
        delete_integration(integration=obj, actor=make_actor(user=request.user))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Begin with the catalogue, go on with one service of it; `by=hand` and a POST are the plain form."""
        if IS_POPUP_VAR in request.GET or "by" in request.GET:
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            raise PermissionDenied
        if slug := request.GET.get("entry"):
            return show_entry(self, request, slug)
        if request.method == "POST":
            return super().add_view(request, form_url, extra_context)
        return show_catalogue(self, request)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Lead on to discovery: a draft that nobody discovers is of no use."""
        if IS_POPUP_VAR in request.POST:
            return super().response_add(request, obj, post_url_continue)
        messages.success(request, f"{obj} is added as a draft. The next step is to ask it how it is to be used.")
        return HttpResponseRedirect(self._reverse("discover", obj.pk))

    @object_action(
        description="Discover",
        consequence=lambda integration: (
            f"Kontext asks {integration.url} for its authorization server, registers there "
            "where that is possible, and lists its capabilities. New ones can be used as the rules say; changed ones "
            "are held until somebody accepts the difference. This takes some seconds."
        ),
        button="Ask the integration",
        icon="travel_explore",
        variant=ActionVariant.PRIMARY,
    )
    def discover(self, request: HttpRequest, obj: Integration) -> HttpResponse:
        found = discover_integration(integration=obj, actor=make_actor(user=request.user))
        rows = Capability.objects.filter(integration=found)
        known, held = rows.exclude(status="removed").count(), rows.filter(status="held").count()
        if found.discovery_error:
            messages.error(request, _start(found.discovery_error))
        else:
            messages.success(request, f"Discovered. {found} is {found.get_status_display().lower()}.")
        if known:
            messages.info(request, f"{known} capabilities are known, {held} of them held until you accept a change.")
        elif not found.discovery_error:
            messages.info(request, "Its capabilities are listed as soon as somebody has connected it.")
        return HttpResponseRedirect(self._reverse("change", obj.pk))

    @form_action(
        form=_make_client_form,
        description="Enter OAuth client",
        consequence="For an integration where Kontext can't register itself: register it there by hand, with the "
        "redirect URI that is shown on the integration's page, and enter what you were given. Connections made with "
        "another authorization server end.",
        button="Save the client",
        done="Saved: people can connect.",
        is_offered=lambda integration: integration.auth_mode == Integration.AuthMode.OAUTH,
    )
    def enter_client(self, request: HttpRequest, obj: Integration, form: forms.Form) -> None:
        given = {name: value for name, value in form.cleaned_data.items() if value}
        set_oauth_client(integration=obj, actor=make_actor(user=request.user), **given)

    @form_action(
        form=ServerKeyForm,
        description="Enter key",
        consequence="Every call of every application to this integration is made with this key, within the rules. It "
        "takes the place of the one that is stored.",
        button="Try and store the key",
        done="Stored: calls use this key from now on.",
        is_offered=lambda integration: integration.auth_mode == Integration.AuthMode.SERVER_TOKEN,
    )
    def enter_key(self, request: HttpRequest, obj: Integration, form: forms.Form) -> None:
        set_server_token(integration=obj, key=form.cleaned_data, actor=make_actor(user=request.user))

    @object_action(
        description="Switch off",
        consequence="Every call to this integration is refused at once. Connections are kept for when it is switched "
        "on again.",
        done="Switched off.",
        variant=ActionVariant.DANGER,
        is_offered=lambda integration: integration.status == Integration.Status.ACTIVE,
    )
    def switch_off(self, request: HttpRequest, obj: Integration) -> None:
        update_integration(integration=obj, status=Integration.Status.DISABLED, actor=make_actor(user=request.user))

    @object_action(
        description="Switch on",
        consequence="Calls to this integration are decided by the rules again, with the connections that are there.",
        done="Switched on.",
        is_offered=lambda integration: integration.status == Integration.Status.DISABLED,
    )
    def switch_on(self, request: HttpRequest, obj: Integration) -> None:
        update_integration(integration=obj, status=Integration.Status.ACTIVE, actor=make_actor(user=request.user))

    @display(description="status", ordering="status")
    def status_shown(self, obj: Integration) -> SafeString:
        return status_chip(obj.status)

    @display(description="capabilities", ordering="capability_count")
    def capabilities_shown(self, obj: Any) -> SafeString | str:
        if not obj.held_count:
            return str(obj.capability_count)
        return format_html("{} {}", obj.capability_count, status_chip("held", f"{obj.held_count} held"))

    @display(description="connections", ordering="connected_count")
    def connections_shown(self, obj: Any) -> int:
        count: int = obj.connected_count
        return count

    @display(description="discovered", ordering="discovered_at")
    def discovered(self, obj: Integration) -> SafeString | str:
        if obj.discovery_error:
            return status_chip("error", "Failed")
        return relative_time(obj.discovered_at)

    @display(description="discovery")
    def discovery_shown(self, obj: Integration) -> SafeString | str:
        when = relative_time(obj.discovered_at)
        if not obj.discovery_error:
            return when
        return format_html("{} {}<br>{}", status_chip("error", "Failed"), when, _start(obj.discovery_error))

    @display(description="from the catalogue")
    def known_service(self, obj: Integration) -> SafeString | str:
        """Say from which entry it came, and whether that is another one by now: what is kept here doesn't change."""
        if not obj.catalogue_entry:
            return "No: entered by hand."
        entry = find_entry(obj.catalogue_entry)
        told = ", ".join(f"{name} {value}" for name, value in obj.parameters.items())
        words = f"{entry.name if entry else obj.catalogue_entry}" + (f" ({told})" if told else "")
        if entry is None:
            return f"{words}, which is no longer in the catalogue. It works as it was added."
        link = format_html('<a class="underline" href="{}" rel="noreferrer noopener">its own page</a>', entry.docs_url)
        if entry.digest == obj.catalogue_digest:
            return format_html("{}: {}", words, link)
        changed = "The catalogue says more or other things of it now: add it again to take them over."
        return format_html("{}: {}. {}", words, link, changed)

    @display(description="redirect URI to register at the integration")
    def redirect_uri(self, obj: Integration) -> SafeString:
        return copy_id(get_redirect_uri(), "redirect URI")

    @display(description="address for applications")
    def gateway_address(self, obj: Integration) -> SafeString:
        return copy_id(obj.resource, "address")


def _count(rows: QuerySet[Any]) -> Coalesce:
    """Return the number of these rows of each integration; by itself, since joins would multiply each other."""
    mine = rows.filter(integration=OuterRef("pk")).order_by().values("integration")
    return Coalesce(Subquery(mine.annotate(number=Count("pk")).values("number")), 0)


def _start(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
