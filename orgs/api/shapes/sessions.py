"""A session: one person's consent to an application, and how far it is in use."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orgs.api.serializers import CamelSerializer, NamedSerializer, name_of
from orgs.models import Delegation, IssuedToken

STATUSES = ("active", "idle", "expired", "disconnected")


class SessionSerializer(CamelSerializer):
    id = serializers.UUIDField()
    application_id = serializers.UUIDField()
    user = serializers.SerializerMethodField(method_name="get_user")
    derived_status = serializers.SerializerMethodField(method_name="get_derived_status")
    scopes = serializers.ListField(child=serializers.CharField())
    resources = serializers.ListField(child=serializers.CharField())
    redirect_host = serializers.CharField()
    granted_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_token_at = serializers.DateTimeField(allow_null=True, help_text="When it last got an access token.")

    @extend_schema_field(NamedSerializer)
    def get_user(self, delegation: Delegation) -> dict[str, Any] | None:
        return name_of(delegation.user)

    @extend_schema_field(
        {
            "type": "string",
            "enum": list(STATUSES),
            "description": "`active` holds a live access token, `idle` may get one, the others can't.",
        }
    )
    def get_derived_status(self, delegation: Any) -> str:
        if delegation.revoked_at is not None:
            return "disconnected"
        if delegation.expires_at is not None and delegation.expires_at <= timezone.now():
            return "expired"
        return "active" if delegation.has_token else "idle"


def with_use(delegations: QuerySet[Delegation]) -> QuerySet[Delegation]:
    """Add what `SessionSerializer` shows beyond the consent itself."""
    tokens = IssuedToken.objects.filter(
        application=OuterRef("application"), user=OuterRef("user"), issued_at__gte=OuterRef("granted_at")
    )
    live = tokens.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())
    last = tokens.order_by("-issued_at").values("issued_at")[:1]
    return delegations.select_related("user").annotate(has_token=Exists(live), last_token_at=Subquery(last))
