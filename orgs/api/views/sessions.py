from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from orgs.api.base import get_row
from orgs.api.serializers import CamelSerializer, PageQuery, page_of
from orgs.api.shapes.sessions import SessionSerializer, with_use
from orgs.api.views.applications import ApplicationView
from orgs.models import Delegation
from orgs.services.revoke_delegation import revoke_delegation


class SessionsView(ApplicationView):
    query_serializer: ClassVar[type[CamelSerializer]] = PageQuery

    @extend_schema(
        operation_id="listApplicationSessions",
        summary="List an application's sessions",
        responses=page_of(SessionSerializer),
    )
    def get(self, request: Request, application_id: UUID) -> Response:
        """Whom it may act for, or could once: the consents people gave it."""
        application = self.get_application(application_id)
        rows = Delegation.objects.for_organization(self.access.organization).filter(application=application)
        return self.answer_page(with_use(rows), SessionSerializer)


class SessionDetailView(ApplicationView):
    @extend_schema(operation_id="endApplicationSession", summary="End an application's session", responses={204: None})
    def delete(self, request: Request, application_id: UUID, delegation_id: UUID) -> Response:
        """Ends the person's consent, and at once every token that rests on it."""
        rows = Delegation.objects.for_organization(self.access.organization)
        mine = rows.filter(application=self.get_application(application_id)).select_related("application", "user")
        revoke_delegation(delegation=get_row(mine, delegation_id), actor=self.access.actor, reason="administrator")
        return Response(status=204)
