"""Which integrations an application may use at all: routes under /applications that this floor answers."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.shapes import AllowedIntegrations, IntegrationSerializer, ReachSerializer
from connections.models import ApplicationIntegration, Integration
from connections.querysets import IntegrationQuerySet
from connections.services.allow_application import (
    allow_integration,
    disallow_integration,
    set_application_integrations,
)
from orgs.api.base import get_row
from orgs.api.serializers import CamelSerializer, NoInput, PageQuery, name_of, page_of, wrapped
from orgs.api.views.applications import ApplicationView
from orgs.models import Application


class ApplicationIntegrationView(ApplicationView):
    """Base of what says which integrations an application may use."""

    def get_integrations(self) -> IntegrationQuerySet[Integration]:
        return Integration.objects.for_organization(self.access.organization)

    def answer_allowed(self, application: Application) -> Response:
        rows = self.get_integrations().filter(application_integrations__application=application)
        return self.answer_page(rows, IntegrationSerializer)


class ApplicationIntegrationsView(ApplicationIntegrationView):
    query_serializer: ClassVar[type[CamelSerializer]] = PageQuery

    @extend_schema(
        operation_id="listApplicationIntegrations",
        summary="List what an application may use",
        responses=page_of(IntegrationSerializer),
    )
    def get(self, request: Request, application_id: UUID) -> Response:
        """The integrations it may use at all; the rules decide about each call."""
        return self.answer_allowed(self.get_application(application_id))

    @extend_schema(
        operation_id="setApplicationIntegrations",
        summary="Say what an application may use",
        request=AllowedIntegrations,
        responses=page_of(IntegrationSerializer),
    )
    def put(self, request: Request, application_id: UUID) -> Response:
        """Exactly these from now on. The answer is the first page of them."""
        application = self.get_application(application_id)
        keys = dict.fromkeys(self.read(AllowedIntegrations)["integration_ids"])
        found = self.get_integrations().in_bulk(list(keys))
        if unknown := [str(key) for key in keys if key not in found]:
            raise ValidationError({"integrationIds": [f"Not in your organization: {', '.join(unknown[:10])}."]})
        set_application_integrations(
            application=application, integrations=list(found.values()), actor=self.access.actor
        )
        self.query = {"limit": 200, "cursor": ""}
        return self.answer_allowed(application)


class ApplicationIntegrationDetailView(ApplicationIntegrationView):
    @extend_schema(
        operation_id="allowApplicationIntegration",
        summary="Let an application use one more integration",
        request=None,
        responses=wrapped("integration", IntegrationSerializer),
    )
    def post(self, request: Request, application_id: UUID, integration_id: UUID) -> Response:
        """Allowing what is allowed changes nothing."""
        self.read(NoInput)
        application = self.get_application(application_id)
        integration = get_row(self.get_integrations(), integration_id)
        allow_integration(application=application, integration=integration, actor=self.access.actor)
        return Response({"integration": IntegrationSerializer(integration).data})

    @extend_schema(
        operation_id="disallowApplicationIntegration",
        summary="Take an integration from an application",
        responses={204: None},
    )
    def delete(self, request: Request, application_id: UUID, integration_id: UUID) -> Response:
        """Holds in the gateway within a second."""
        application = self.get_application(application_id)
        integration = get_row(self.get_integrations(), integration_id)
        disallow_integration(application=application, integration=integration, actor=self.access.actor)
        return Response(status=204)


class AccessGraphView(ApplicationIntegrationView):
    query_serializer: ClassVar[type[CamelSerializer]] = PageQuery

    @extend_schema(
        operation_id="getAccessGraph",
        summary="List who may use what",
        responses=page_of(ReachSerializer),
    )
    def get(self, request: Request) -> Response:
        """Every application with the integrations it may use and the number of people it acts for."""
        unexpired = Q(delegations__expires_at__isnull=True) | Q(delegations__expires_at__gt=timezone.now())
        live = Q(delegations__revoked_at__isnull=True) & unexpired
        rows = self.get_applications().annotate(user_count=Count("delegations", filter=live, distinct=True))
        return self.answer_page(rows, ReachSerializer, prepare=_add_integrations)


def _add_integrations(applications: list[Any]) -> list[dict[str, Any]]:
    allowed = ApplicationIntegration.objects.filter(application__in=applications).select_related("integration")
    reached: dict[UUID, list[Any]] = {application.pk: [] for application in applications}
    for row in allowed.order_by("integration__name"):
        reached[row.application_id].append(name_of(row.integration))
    return [
        {
            "id": application.pk,
            "name": application.name,
            "status": application.status,
            "integrations": reached[application.pk],
            "user_count": application.user_count,
        }
        for application in applications
    ]
