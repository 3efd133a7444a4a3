"""Applications, the consents they hold, and the tokens issued to them."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.views import ChangeList
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminURLInputWidget,
)

from audit.models import AuditEvent
from orgs.admin_site import (
    OrganizationForm,
    OrganizationModelAdmin,
    OrganizationTabularInline,
    WordsField,
    link_to,
    object_action,
    show_secret_once,
)
from orgs.http import make_actor
from orgs.models import Application, Delegation, IssuedToken
from orgs.oauth.grants import get_grant_types
from orgs.services.register_application import OWN_GRANTS, RegisteredApplication, register_application
from orgs.services.revoke_delegation import revoke_delegation
from orgs.services.rotate_application_secret import rotate_application_secret
from orgs.services.update_application import (
    approve_application,
    delete_application,
    suspend_application,
    update_application,
)
from orgs.templatetags.kontext_ui import copy_id, relative_time, status_chip

_CHANGEABLE = ("name", "owner", "grant_types", "description", "homepage")
_GRANT_NAMES = {
    "authorization_code": "Act for people who consent (authorization code)",
    "refresh_token": "Go on while they are away (refresh token)",
    "client_credentials": "Act for itself, without a person (client credentials)",
    "urn:ietf:params:oauth:grant-type:token-exchange": "Get an integration's credential (token exchange)",
}


def _list_grants() -> list[tuple[str, str]]:
    return [(grant, _GRANT_NAMES.get(grant, grant)) for grant in (*OWN_GRANTS, *get_grant_types())]


class ApplicationForm(OrganizationForm):
    redirect_uris = WordsField(
        label="Redirect URIs",
        required=False,
        help_text="One a line, exact. https, or http on 127.0.0.1 for applications on a person's own machine.",
    )
    homepage = forms.URLField(
        label="Home page", required=False, assume_scheme="https", widget=UnfoldAdminURLInputWidget
    )
    grant_types = forms.MultipleChoiceField(
        label="What it may ask for", choices=_list_grants, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = Application
        fields = ("organization", "name", "owner", "description", "client_type")
        labels: ClassVar[dict[str, str]] = {"client_type": "Kind"}
        widgets: ClassVar[dict[str, Any]] = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts: ClassVar[dict[str, str]] = {
            "name": "As people see it on the consent page.",
            "owner": "Sets the application layer of the policy, and is asked first when something is wrong.",
            "client_type": "Confidential: runs on a server and keeps a secret. Public: runs where it could be read.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("organization", "name"):
            if name in self.fields:
                self.fields[name].required = True  # the model lets one that registered itself be without
        if self.instance._state.adding and "grant_types" in self.fields:
            self.fields["grant_types"].initial = ["authorization_code", "refresh_token"]


class DelegationInline(OrganizationTabularInline):
    model = Delegation
    is_read_only: ClassVar[bool] = True
    fields = ("user_shown", "scopes", "granted_at", "expires_at", "revoked_at")
    readonly_fields = fields
    verbose_name_plural = "consents"
    per_page = 20

    @display(description="user")
    def user_shown(self, obj: Delegation) -> SafeString:
        return link_to(obj, str(obj.user))


class ApplicationList(ChangeList):
    """Counts the denials of a page's applications in one query, whatever the number of applications."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        since = timezone.now() - dt.timedelta(hours=24)
        shown = list(self.result_list)
        denied = AuditEvent.objects.since(since).filter(
            outcome="denied",
            organization_id__in={application.organization_id for application in shown},
            application_id__in=[application.pk for application in shown],
        )
        counts = dict(denied.order_by().values_list("application_id").annotate(Count("pk")))
        for application in shown:
            application.denial_count = counts.get(application.pk, 0)
        self.result_list = shown


@admin.register(Application)
class ApplicationAdmin(OrganizationModelAdmin):
    form = ApplicationForm
    inlines = (DelegationInline,)
    list_display = ("name_shown", "status_shown", "owner", "users", "last_used", "denials", "source_shown")
    list_filter: ClassVar[Any] = ("status", "client_type", "registration_source")
    list_select_related = ("owner",)
    search_fields = ("name", "client_id", "description", "owner__name", "owner__email")
    search_help_text = "Search names, client IDs and owners"
    autocomplete_fields = ("owner",)
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("organization", "name", "owner", "description", "homepage")}),
        (
            "OAuth",
            {"fields": ("client_id_shown", "client_type", "redirect_uris", "grant_types")},
        ),
        ("State", {"fields": ("status_shown", "last_used", "source_shown", "created", "updated")}),
    )
    readonly_fields = ("client_id_shown", "status_shown", "last_used", "source_shown", "created", "updated")
    actions_detail = ("approve", "suspend", "rotate_secret")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        user_count = Count("delegations__user", filter=Q(delegations__revoked_at__isnull=True), distinct=True)
        rows: QuerySet[Any] = super().get_queryset(request).annotate(user_count=user_count)
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: Application | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else (*fields, "client_type")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # A new application has no state yet, and its client ID is shown with its secret.
        sections = super().get_fieldsets(request, obj)
        if obj is not None:
            return sections
        hidden = {"client_id_shown", "status_shown", "last_used", "source_shown", "created", "updated"}
        shown = [
            (title, {**options, "fields": tuple(name for name in options["fields"] if name not in hidden)})
            for title, options in sections
        ]
        return [(title, options) for title, options in shown if options["fields"]]

    def perform_save(self, request: HttpRequest, obj: Application, form: ModelForm[Any], change: bool) -> Application:
        given = {name: form.cleaned_data[name] for name in _CHANGEABLE}
        given["redirect_uris"] = form.cleaned_data["redirect_uris"].split()
        actor = make_actor(user=request.user)
        if change:
            return update_application(application=self.get_stored(obj), actor=actor, **given)
        assert obj.organization is not None
        registered = register_application(
            organization=obj.organization, client_type=obj.client_type, actor=actor, **given
        )
        request._kontext_registered = registered  # type: ignore[attr-defined]
        return registered.application

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret in this very answer: it is kept hashed, so there is no later one."""
        registered: RegisteredApplication = request._kontext_registered  # type: ignore[attr-defined]
        if not registered.client_secret:
            return super().response_add(request, obj, post_url_continue)
        return self._show_secret(request, registered.application, registered.client_secret)

    def perform_delete(self, request: HttpRequest, obj: Application) -> None:
        delete_application(application=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Approve",
        consequence="The application may act for people who consent, within the rules and with the integrations it is "
        "allowed. Check its name and where it redirects first: anyone can register under any name.",
        done="Approved: it works from now on.",
        variant=ActionVariant.SUCCESS,
        is_offered=lambda application: application.status != Application.Status.ACTIVE,
    )
    def approve(self, request: HttpRequest, obj: Application) -> None:
        approve_application(application=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Suspend",
        consequence=lambda application: (
            f"{application} stops at once for everyone: its tokens end and its calls are "
            "refused. People's consents are kept for when it is approved again."
        ),
        done="Suspended: its tokens have ended.",
        variant=ActionVariant.DANGER,
        is_offered=lambda application: application.status != Application.Status.SUSPENDED,
    )
    def suspend(self, request: HttpRequest, obj: Application) -> None:
        suspend_application(application=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Rotate secret",
        consequence="The former secret stops working at once: the application can't get tokens until it has the new "
        "one. Tokens it already holds live on until they expire.",
        button="Replace the secret",
        is_offered=lambda application: application.client_type == Application.CLIENT_CONFIDENTIAL,
    )
    def rotate_secret(self, request: HttpRequest, obj: Application) -> HttpResponse:
        secret = rotate_application_secret(application=obj, actor=make_actor(user=request.user))
        return self._show_secret(request, obj, secret)

    def _show_secret(self, request: HttpRequest, application: Application, secret: str) -> HttpResponse:
        facts = [("Client ID", application.client_id), ("Client secret", secret)]
        return show_secret_once(self, request, application, title="Client secret", facts=facts)

    @display(description="name", ordering="name")
    def name_shown(self, obj: Application) -> str:
        return str(obj)

    @display(description="client ID")
    def client_id_shown(self, obj: Application) -> SafeString:
        return copy_id(obj.client_id, "client ID")

    @display(description="status", ordering="status")
    def status_shown(self, obj: Application) -> SafeString:
        return status_chip(obj.status)

    @display(description="people", ordering="user_count")
    def users(self, obj: Any) -> int:
        count: int = obj.user_count
        return count

    @display(description="last used", ordering="last_used_at")
    def last_used(self, obj: Application) -> SafeString | str:
        return relative_time(obj.last_used_at)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return ApplicationList

    @display(description="denials, 24 h")
    def denials(self, obj: Any) -> int:
        count: int = obj.denial_count
        return count

    @display(description="registered", ordering="registration_source")
    def source_shown(self, obj: Application) -> str:
        return "by an administrator" if obj.registration_source == "manual" else "by itself"


@admin.register(Delegation)
class DelegationAdmin(OrganizationModelAdmin):
    """What people consented to. It is theirs to give; an administrator can only take it away."""

    can_be_added: ClassVar[bool] = False
    can_be_deleted: ClassVar[bool] = False
    list_display = ("user", "application", "status_shown", "granted_at", "expires_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "application")
    list_select_related = ("user", "application")
    search_fields = ("user__name", "user__email", "application__name", "application__client_id")
    search_help_text = "Search people and applications"
    fields = (
        "organization",
        "user",
        "application",
        "status_shown",
        "scopes",
        "resources",
        "redirect_host",
        "granted_at",
        "expires_at",
        "paused_at",
        "revoked_at",
    )
    actions_detail = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, obj, self.writer_roles)

    @object_action(
        description="Revoke",
        consequence=lambda delegation: (
            f"{delegation.application} stops acting for {delegation.user} at once: every "
            "token that rests on this consent ends. The person can consent again."
        ),
        done="Revoked: the tokens have ended.",
        variant=ActionVariant.DANGER,
        permission="revoke",
        is_offered=lambda delegation: delegation.revoked_at is None,
    )
    def revoke(self, request: HttpRequest, obj: Delegation) -> None:
        revoke_delegation(delegation=obj, actor=make_actor(user=request.user), reason="revoked by an administrator")

    @display(description="status")
    def status_shown(self, obj: Delegation) -> SafeString:
        if obj.revoked_at is not None:
            return status_chip("revoked")
        is_expired = obj.expires_at is not None and obj.expires_at <= timezone.now()
        if is_expired:
            return status_chip("expired")
        return (
            status_chip("paused", "Paused by the person: calls are refused") if obj.is_paused else status_chip("active")
        )


@admin.register(IssuedToken)
class IssuedTokenAdmin(OrganizationModelAdmin):
    """Tokens by their identifier. The tokens themselves are not kept."""

    is_read_only: ClassVar[bool] = True
    list_display = ("jti", "application", "user", "resource", "status_shown", "issued_at")
    list_filter = ("application", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("application", "user")
    search_fields = ("=jti", "application__name", "user__name", "user__email", "resource")
    search_help_text = "Search token IDs, applications, people and resources"

    @display(description="status")
    def status_shown(self, obj: IssuedToken) -> SafeString:
        if obj.revoked_at is not None:
            return status_chip("revoked")
        return status_chip("expired" if obj.expires_at <= timezone.now() else "active")
