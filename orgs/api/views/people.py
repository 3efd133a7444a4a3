"""Who there is to write rules about. People come from the identity provider, so nothing is changed here."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from orgs.api.access import EVERYONE
from orgs.api.base import ManagementView
from orgs.api.serializers import CamelSerializer, name_of, page_of, wrapped
from orgs.api.shapes.people import GroupQuery, GroupSerializer, MemberQuery, MemberSerializer, MeSerializer
from orgs.models import Group, Membership


class MembersView(ManagementView):
    tag = "People"
    query_serializer: ClassVar[type[CamelSerializer]] = MemberQuery

    @extend_schema(operation_id="listMembers", summary="List people", responses=page_of(MemberSerializer))
    def get(self, request: Request) -> Response:
        """Everybody in the organization, suspended or not."""
        rows = Membership.objects.for_organization(self.access.organization).select_related("user")
        columns = {"role": "role", "status": "status", "email": "user__email__iexact"}
        rows = rows.filter(**{columns[name]: self.query[name] for name in columns if name in self.query})
        return self.answer_page(rows, MemberSerializer)


class GroupsView(ManagementView):
    tag = "People"
    query_serializer: ClassVar[type[CamelSerializer]] = GroupQuery

    @extend_schema(operation_id="listGroups", summary="List groups", responses=page_of(GroupSerializer))
    def get(self, request: Request) -> Response:
        rows = Group.objects.for_organization(self.access.organization)
        if "name" in self.query:
            rows = rows.filter(name=self.query["name"])
        return self.answer_page(rows.annotate(member_count=Count("group_memberships")), GroupSerializer)


class MeView(ManagementView):
    readers = EVERYONE
    tag = "People"

    @extend_schema(operation_id="getMe", summary="Whose token this is", responses=wrapped("me", MeSerializer))
    def get(self, request: Request) -> Response:
        access = self.access
        me = {
            "user": name_of(access.user),
            "organization": name_of(access.organization),
            "application": name_of(access.application),
            "role": access.role,
        }
        return Response({"me": MeSerializer(me).data})
