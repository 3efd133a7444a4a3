from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import display

from orgs.admin_site import OrganizationModelAdmin, OrganizationTabularInline
from orgs.http import make_actor
from orgs.models import Group, GroupMembership
from orgs.services.change_groups import add_to_group, create_group, delete_group, remove_from_group, rename_group


class MembersInline(OrganizationTabularInline):
    """Who is in the group. What the identity provider said can't be taken away here: it would come back."""

    model = GroupMembership
    fields = ("user", "source", "created_at")
    readonly_fields = ("source", "created_at")
    autocomplete_fields = ("user",)
    verbose_name = "member"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Group)
class GroupAdmin(OrganizationModelAdmin):
    inlines = (MembersInline,)
    list_display = ("name", "source", "members")
    list_filter = ("source",)
    search_fields = ("name",)
    fields = ("organization", "name", "source", "created_at")
    readonly_fields = ("source", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(member_count=Count("group_memberships"))
        return rows

    def perform_save(self, request: HttpRequest, obj: Group, form: ModelForm[Any], change: bool) -> Group:
        actor = make_actor(user=request.user)
        if change:
            return rename_group(group=self.get_stored(obj), name=obj.name, actor=actor)
        return create_group(organization=obj.organization, name=obj.name, actor=actor)

    def perform_delete(self, request: HttpRequest, obj: Group) -> None:
        delete_group(group=obj, actor=make_actor(user=request.user))

    def save_row(self, request: HttpRequest, row: GroupMembership) -> None:
        added = add_to_group(group=row.group, user=row.user, actor=make_actor(user=request.user))
        row.__dict__.update(added.__dict__)

    def delete_row(self, request: HttpRequest, row: GroupMembership) -> None:
        remove_from_group(membership=row, actor=make_actor(user=request.user))

    @display(description="members", ordering="member_count")
    def members(self, obj: Any) -> int:
        count: int = obj.member_count
        return count
