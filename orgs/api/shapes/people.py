"""People and groups, as far as rules and applications refer to them."""

from __future__ import annotations

from rest_framework import serializers

from orgs.api.serializers import CamelSerializer, NamedSerializer, PageQuery
from orgs.models import Group, Membership


class MemberSerializer(CamelSerializer):
    """A person in the organization. `id` is the person's, which rules and applications refer to."""

    id = serializers.UUIDField(source="user.pk")
    name = serializers.CharField(source="user")
    email = serializers.CharField(source="user.email")
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    status = serializers.ChoiceField(choices=Membership.Status.choices)
    created_at = serializers.DateTimeField()


class GroupSerializer(CamelSerializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    managed_by = serializers.ChoiceField(source="source", choices=Group.Source.choices, help_text="Who keeps it.")
    member_count = serializers.IntegerField()


class MeSerializer(CamelSerializer):
    """Whose token this is, and what it may do."""

    user = NamedSerializer()
    organization = NamedSerializer()
    application = NamedSerializer()
    role = serializers.ChoiceField(choices=Membership.Role.choices)


class MemberQuery(PageQuery):
    role = serializers.ChoiceField(choices=Membership.Role.choices, required=False)
    status = serializers.ChoiceField(choices=Membership.Status.choices, required=False)
    email = serializers.CharField(max_length=254, required=False, help_text="Exactly, in any case.")


class GroupQuery(PageQuery):
    name = serializers.CharField(max_length=255, required=False, help_text="Exactly.")
