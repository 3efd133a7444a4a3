"""People and what they are in an organization. Who they are comes from their identity provider."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Max, Prefetch, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant

from orgs.admin_site import (
    OrganizationForm,
    OrganizationModelAdmin,
    OrganizationTabularInline,
    WriteOnlySecretField,
    get_access,
    link_to,
    narrow,
    object_action,
)
from orgs.http import make_actor
from orgs.models import Delegation, GroupMembership, Identity, Membership, User
from orgs.services.add_member import add_member
from orgs.services.erase_payloads import count_payloads, erase_payloads, has_kept_payloads
from orgs.services.set_local_account import set_local_account
from orgs.services.suspend_person import (
    resume_membership,
    resume_user,
    set_role,
    suspend_membership,
    suspend_user,
)
from orgs.templatetags.kontext_ui import relative_time, status_chip


class IdentityInline(OrganizationTabularInline):
    """Where a person signs in. For superusers: an identity belongs to the person, not to an organization."""

    model = Identity
    is_read_only: ClassVar[bool] = True
    fields = ("issuer", "subject", "created_at", "last_used_at")
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The issuer tells in which other organizations somebody is.
        return get_access(request).is_superuser


class MembershipInline(OrganizationTabularInline):
    model = Membership
    is_read_only: ClassVar[bool] = True  # each is changed on its own page, by a service
    fields = ("organization_shown", "role", "status_shown", "created_at")
    readonly_fields = fields

    @display(description="organization")
    def organization_shown(self, obj: Membership) -> SafeString:
        return link_to(obj, str(obj.organization))

    @display(description="status")
    def status_shown(self, obj: Membership) -> SafeString:
        return status_chip(obj.status)


class GroupMembershipOfPersonInline(OrganizationTabularInline):
    model = GroupMembership
    is_read_only: ClassVar[bool] = True
    fields = ("group", "source", "created_at")
    readonly_fields = fields
    verbose_name_plural = "groups"


class UserForm(OrganizationForm):
    """A local account. Someone from an identity provider has an opaque user name and no password."""

    password = WriteOnlySecretField(
        label="Password",
        strip=False,
        help_text="For administrators who sign in without an identity provider. Stored hashed and never shown. "
        "Leave it empty to keep what is stored.",
    )

    class Meta:
        model = User
        fields = ("username", "name", "email", "is_superuser")
        labels: ClassVar[dict[str, str]] = {"username": "User name", "is_superuser": "Runs the whole installation"}
        help_texts: ClassVar[dict[str, str]] = {
            "username": "What is entered at sign-in, usually the e-mail address.",
            "is_superuser": "May see and change everything in every organization.",
        }


@admin.register(User)
class UserAdmin(OrganizationModelAdmin):
    form = UserForm
    inlines = (MembershipInline, GroupMembershipOfPersonInline, IdentityInline)
    list_display = ("name_shown", "email", "status_shown", "roles", "groups_shown", "consents", "last_signed_in")
    list_filter = ("is_active", "memberships__role", "memberships__status")
    search_fields = ("name", "email", "username")
    search_help_text = "Search names and e-mail addresses"
    fieldsets = (
        (None, {"fields": ("name", "email", "username", "password", "is_superuser")}),
        ("Details", {"fields": ("status_shown", "id", "created_at", "last_login"), "classes": ("collapse",)}),
    )
    readonly_fields = ("id", "created_at", "last_login", "status_shown")
    actions_detail = ("suspend", "reactivate", "suspend_everywhere", "reactivate_everywhere")
    can_be_deleted: ClassVar[bool] = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return get_access(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # One person may be in several organizations: none of them owns the account.
        return get_access(request).is_superuser

    def has_here_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person may suspend this one in an organization of theirs."""
        return self._is_allowed(request, obj, self.writer_roles)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if get_access(request).is_superuser:
            return super().get_fieldsets(request, obj)
        return (
            (None, {"fields": ("name", "email", "status_shown")}),
            ("Details", {"fields": ("id", "created_at"), "classes": ("collapse",)}),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = narrow(Membership.objects.select_related("organization"), get_access(request))
        groups = narrow(GroupMembership.objects.select_related("group"), get_access(request))
        consents = Q(delegations__revoked_at__isnull=True, delegations__in=_visible_delegations(request))
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(
            consent_count=Count("delegations", filter=consents, distinct=True),
            signed_in_at=Max("identities__last_used_at"),
        )
        return rows.prefetch_related(
            Prefetch("memberships", visible, to_attr="visible_memberships"),
            Prefetch("group_memberships", groups, to_attr="visible_groups"),
        )

    def perform_save(self, request: HttpRequest, obj: User, form: ModelForm[Any], change: bool) -> User:
        given = {name: form.cleaned_data[name] for name in ("username", "name", "email", "is_superuser", "password")}
        user = self.get_stored(obj) if change else None
        return set_local_account(**given, user=user, actor=make_actor(user=request.user))

    @object_action(
        description="Suspend",
        consequence="This person can't sign in to your organization any more, and applications stop acting for them "
        "there at once: their tokens end, and calls are refused. Their connections and consents are kept.",
        done="Suspended. Tokens have ended, and calls are refused from now on.",
        variant=ActionVariant.DANGER,
        permission="here",
        is_offered=lambda user: user.is_active and any(_is_active(m) for m in user.visible_memberships),
    )
    def suspend(self, request: HttpRequest, obj: Any) -> None:
        for membership in self._get_memberships(request, obj):
            suspend_membership(membership=membership, actor=make_actor(user=request.user))

    @object_action(
        description="Reactivate",
        consequence="This person can sign in to your organization again. Tokens that ended don't come back: "
        "applications have to ask again.",
        done="Reactivated.",
        permission="here",
        is_offered=lambda user: any(not _is_active(m) for m in user.visible_memberships),
    )
    def reactivate(self, request: HttpRequest, obj: Any) -> None:
        for membership in self._get_memberships(request, obj):
            resume_membership(membership=membership, actor=make_actor(user=request.user))

    @object_action(
        description="Suspend everywhere",
        consequence="This person can't sign in anywhere in this installation any more. In every organization their "
        "tokens end at once and calls for them are refused.",
        done="Suspended everywhere.",
        variant=ActionVariant.DANGER,
        permission="superuser",
        is_offered=lambda user: user.is_active,
    )
    def suspend_everywhere(self, request: HttpRequest, obj: Any) -> None:
        if obj.pk == request.user.pk:
            raise ValidationError("You can't suspend yourself: another administrator has to.")
        suspend_user(user=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Reactivate everywhere",
        consequence="This person can sign in again, wherever their membership isn't suspended by itself.",
        done="Reactivated.",
        permission="superuser",
        is_offered=lambda user: not user.is_active,
    )
    def reactivate_everywhere(self, request: HttpRequest, obj: Any) -> None:
        resume_user(user=obj, actor=make_actor(user=request.user))

    def _get_memberships(self, request: HttpRequest, user: User) -> QuerySet[Membership]:
        mine = narrow(user.memberships.all(), get_access(request), roles=self.writer_roles)
        return mine.select_related("organization", "user")

    @display(description="name", ordering="name")
    def name_shown(self, obj: User) -> str:
        return str(obj)

    @display(description="status", ordering="is_active")
    def status_shown(self, obj: Any) -> SafeString:
        if not obj.is_active:
            return status_chip("suspended", "Suspended everywhere")
        suspended = [m for m in obj.visible_memberships if not _is_active(m)]
        if obj.visible_memberships and len(suspended) == len(obj.visible_memberships):
            return status_chip("suspended")
        return status_chip("active", "Partly suspended" if suspended else "")

    @display(description="role", empty_value="-")
    def roles(self, obj: Any) -> str | None:
        return ", ".join(sorted({m.get_role_display() for m in obj.visible_memberships})) or None

    @display(description="groups", empty_value="-")
    def groups_shown(self, obj: Any) -> str | None:
        return ", ".join(sorted(m.group.name for m in obj.visible_groups)) or None

    @display(description="applications", ordering="consent_count")
    def consents(self, obj: Any) -> int:
        count: int = obj.consent_count
        return count

    @display(description="last sign-in", ordering="signed_in_at")
    def last_signed_in(self, obj: Any) -> SafeString | str:
        return relative_time(obj.signed_in_at or obj.last_login)


class MembershipForm(OrganizationForm):
    """Who may make an owner: an owner. `requester` is set by the admin."""

    may_name_owners: ClassVar[bool] = False

    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        former = self.initial.get("role")
        if role != former and Membership.Role.OWNER in (role, former) and not self.may_name_owners:
            raise forms.ValidationError("Only an owner of the organization gives or takes this role.")
        return role


@admin.register(Membership)
class MembershipAdmin(OrganizationModelAdmin):
    form = MembershipForm
    list_display = ("user", "role", "status_shown", "created_at")
    list_filter = ("role", "status")
    list_select_related = ("user",)
    search_fields = ("user__name", "user__email")
    search_help_text = "Search names and e-mail addresses"
    autocomplete_fields = ("user",)
    fields = ("organization", "user", "role", "status", "created_at")
    readonly_fields = ("status", "created_at")
    actions_detail = ("suspend", "reactivate", "erase_content")
    can_be_deleted: ClassVar[bool] = False

    def has_owner_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        """Whether the person owns the organization of this membership, or runs the installation."""
        return _is_owner(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # People come into being at their first sign-in; whoever is known already belongs to someone else.
        return get_access(request).is_superuser

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else (*fields, "user")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.may_name_owners = _is_owner(request, obj)
        return form

    def perform_save(self, request: HttpRequest, obj: Membership, form: ModelForm[Any], change: bool) -> Membership:
        actor = make_actor(user=request.user)
        if change:
            return set_role(membership=self.get_stored(obj), role=form.cleaned_data["role"], actor=actor)
        return add_member(organization=obj.organization, user=obj.user, role=obj.role, actor=actor)

    @object_action(
        description="Suspend",
        consequence="This person can't use the organization any more, and applications stop acting for them there at "
        "once: their tokens end, and calls are refused. Their connections and consents are kept.",
        done="Suspended. Tokens have ended, and calls are refused from now on.",
        variant=ActionVariant.DANGER,
        is_offered=lambda membership: _is_active(membership),
    )
    def suspend(self, request: HttpRequest, obj: Membership) -> None:
        suspend_membership(membership=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Reactivate",
        consequence="This person can use the organization again. Tokens that ended don't come back.",
        done="Reactivated.",
        is_offered=lambda membership: not _is_active(membership),
    )
    def reactivate(self, request: HttpRequest, obj: Membership) -> None:
        resume_membership(membership=obj, actor=make_actor(user=request.user))

    @object_action(
        description="Erase what was kept of calls",
        consequence=lambda membership: _say_erasing(membership),
        button="Erase it for good",
        done="Erased. Nobody can read it any more; the events and their tree are as they were.",
        variant=ActionVariant.DANGER,
        permission="owner",
        is_offered=lambda membership: has_kept_payloads(organization=membership.organization, user=membership.user),
    )
    def erase_content(self, request: HttpRequest, obj: Membership) -> None:
        erase_payloads(organization=obj.organization, user=obj.user, actor=make_actor(user=request.user))

    @display(description="status", ordering="status")
    def status_shown(self, obj: Membership) -> SafeString:
        return status_chip(obj.status)


def _say_erasing(membership: Membership) -> str:
    count = count_payloads(organization=membership.organization, user=membership.user)
    events = "1 event" if count == 1 else f"{count} events"
    return (
        f"What was kept of the arguments and results of calls for {membership.user} in {membership.organization}, at "
        f"{events}, becomes unreadable for good: the key to it is destroyed. That can't be undone. The events "
        "themselves stay, with their digests, and the audit trail verifies as before; it will say that this was done, "
        "and by whom. Backups that were made before keep the key until you delete them."
    )


def _is_active(membership: Membership) -> bool:
    return membership.status == Membership.Status.ACTIVE


def _is_owner(request: HttpRequest, membership: Membership | None) -> bool:
    access = get_access(request)
    if access.is_superuser or membership is None:
        return access.is_superuser
    return access.covers([membership.organization_id], [Membership.Role.OWNER])


def _visible_delegations(request: HttpRequest) -> QuerySet[Any]:
    return narrow(Delegation.objects.all(), get_access(request))
