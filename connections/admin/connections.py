"""Connections and their ends. The credentials behind them are on no page."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant

from connections.models import ConnectInvitation, Connection, ConnectSession, Revocation
from connections.services.revoke import revoke_connection
from orgs.admin_site import OrganizationModelAdmin, OrganizationTabularInline, object_action
from orgs.http import make_actor
from orgs.templatetags.kontext_ui import relative_time, status_chip


class RevocationInline(OrganizationTabularInline):
    """What the integration said when it was told to end the credential, too."""

    model = Revocation
    is_read_only: ClassVar[bool] = True
    fields = ("status", "reason", "attempts", "error", "created_at", "settled_at")
    readonly_fields = fields
    verbose_name_plural = "receipts"


@admin.register(Connection)
class ConnectionAdmin(OrganizationModelAdmin):
    """People make connections; an administrator can look at them and end them."""

    can_be_added: ClassVar[bool] = False
    can_be_deleted: ClassVar[bool] = False
    inlines = (RevocationInline,)
    list_display = ("who", "integration", "status_shown", "account", "expires_shown", "refreshed", "revocation_shown")
    list_filter = ("status", "integration", "revocation")
    list_select_related = ("user", "integration", "organization")
    search_fields = ("user__name", "user__email", "account", "integration__name", "integration__slug")
    search_help_text = "Search people, accounts and integrations"
    fieldsets = (
        (None, {"fields": ("organization", "integration", "who", "account", "scopes", "status_shown", "error")}),
        ("Credential", {"fields": ("issuer", "generation", "expires_shown", "connected_at", "last_refreshed_at")}),
        ("End", {"fields": ("revoked_at", "revocation_shown")}),
        ("Details", {"fields": ("id", "created_at"), "classes": ("collapse",)}),
    )
    readonly_fields = (
        "who",
        "status_shown",
        "expires_shown",
        "revocation_shown",
        "id",
        "created_at",
    )
    actions_detail = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, obj, self.writer_roles)

    @object_action(
        description="Revoke",
        consequence=lambda connection: (
            f"Calls to {connection.integration} with this connection are refused at once, "
            "and the credential is deleted here. The integration is told to revoke it as well; the receipt is on this "
            "page. It can be connected again."
        ),
        done="Revoked: no call uses it any more.",
        variant=ActionVariant.DANGER,
        permission="revoke",
        is_offered=lambda connection: connection.status != Connection.Status.REVOKED,
    )
    def revoke(self, request: HttpRequest, obj: Connection) -> None:
        revoke_connection(connection=obj, reason="revoked by an administrator", actor=make_actor(user=request.user))

    @display(description="whose", ordering="user__name")
    def who(self, obj: Connection) -> str:
        return str(obj.user) if obj.user else "The organization's own"

    @display(description="status", ordering="status")
    def status_shown(self, obj: Connection) -> SafeString:
        return show_connection_status(obj)

    @display(description="access token expires", ordering="expires_at")
    def expires_shown(self, obj: Connection) -> SafeString | str:
        if obj.expires_at is None:
            return "not said"
        note = "renewed in time" if obj.is_renewable else "can't be renewed"
        return format_html("{}, {}", relative_time(obj.expires_at), note)

    @display(description="refreshed", ordering="last_refreshed_at")
    def refreshed(self, obj: Connection) -> SafeString | str:
        return relative_time(obj.last_refreshed_at)

    @display(description="revoked at the integration", ordering="revocation", empty_value="-")
    def revocation_shown(self, obj: Connection) -> str | None:
        return obj.get_revocation_display() if obj.revocation else None


@admin.register(Revocation)
class RevocationAdmin(OrganizationModelAdmin):
    """Receipts. They outlive the connection, and even the integration, that they are about."""

    is_read_only: ClassVar[bool] = True
    list_display = ("integration", "account", "status_shown", "reason", "attempts", "created_at", "settled_at")
    list_filter = ("status",)
    search_fields = ("integration", "account", "reason", "error")
    fields = (
        "organization",
        "integration",
        "account",
        "connection",
        "status_shown",
        "reason",
        "attempts",
        "next_attempt_at",
        "error",
        "created_at",
        "settled_at",
    )

    @display(description="status", ordering="status")
    def status_shown(self, obj: Revocation) -> SafeString:
        tones = {"pending": "expiring", "revoked": "ok", "unsupported": "cancelled", "failed": "error"}
        return status_chip(tones[obj.status], obj.get_status_display())


@admin.register(ConnectSession)
class ConnectSessionAdmin(OrganizationModelAdmin):
    """Errands under way: who is about to connect what. Their links work for that person alone and are not kept."""

    is_read_only: ClassVar[bool] = True
    list_display = ("user", "integration", "application", "state_shown", "created_at", "expires_at")
    list_filter = ("integration", ("used_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "integration", "application")
    search_fields = ("user__name", "user__email", "integration__name", "application__name")
    fields = (
        "organization",
        "user",
        "integration",
        "application",
        "state_shown",
        "issuer",
        "created_at",
        "expires_at",
        "used_at",
    )

    @display(description="state")
    def state_shown(self, obj: ConnectSession) -> SafeString:
        if obj.used_at is not None:
            return status_chip("ok", "Used")
        return status_chip("expired") if obj.expires_at <= timezone.now() else status_chip("pending", "Waiting")


@admin.register(ConnectInvitation)
class ConnectInvitationAdmin(OrganizationModelAdmin):
    """Links with which applications ask people to connect. Each works for its person alone, and is not kept."""

    is_read_only: ClassVar[bool] = True
    list_display = ("user", "application", "integration", "state_shown", "created_at", "expires_at")
    list_filter = (("used_at", admin.EmptyFieldListFilter),)
    list_select_related = ("user", "integration", "application")
    search_fields = ("user__name", "user__email", "integration__name", "application__name")
    fields = (
        "organization",
        "user",
        "application",
        "integration",
        "state_shown",
        "return_url",
        "created_at",
        "expires_at",
        "opened_at",
        "used_at",
    )

    @display(description="state")
    def state_shown(self, obj: ConnectInvitation) -> SafeString:
        if obj.used_at is not None:
            return status_chip("ok", "Done")
        return status_chip("expired") if obj.expires_at <= timezone.now() else status_chip("pending", "Waiting")


def show_connection_status(connection: Connection) -> SafeString:
    if connection.status == Connection.Status.PENDING:
        return status_chip("pending", "Waiting for sign-in")
    return status_chip(connection.status)
