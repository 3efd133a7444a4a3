from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.shapes import ExternalAuthInput, ExternalAuthSerializer
from connections.models import ExternalAuth
from connections.services.set_external_auth import set_external_auth
from orgs.api.access import READERS
from orgs.api.errors import NotFoundError
from orgs.api.serializers import wrapped
from orgs.api.views.applications import ApplicationView


class ExternalAuthView(ApplicationView):
    readers = READERS

    @extend_schema(
        operation_id="getExternalAuth",
        summary="Get how a product's own sign-in is trusted",
        responses=wrapped("externalAuth", ExternalAuthSerializer),
    )
    def get(self, request: Request, application_id: UUID) -> Response:
        """404 as long as nobody has set it."""
        row = ExternalAuth.objects.filter(application=self.get_application(application_id)).first()
        if row is None:
            raise NotFoundError("This application trusts no other sign-in yet: PUT it here.")
        return Response({"externalAuth": ExternalAuthSerializer(row).data})

    @extend_schema(
        operation_id="setExternalAuth",
        summary="Trust a product's own sign-in",
        request=ExternalAuthInput,
        responses=wrapped("externalAuth", ExternalAuthSerializer),
    )
    def put(self, request: Request, application_id: UUID) -> Response:
        """For a confidential application whose product sends people to connect: POST /partner/connect-session."""
        given = self.read(ExternalAuthInput)
        row = set_external_auth(application=self.get_application(application_id), actor=self.access.actor, **given)
        return Response({"externalAuth": ExternalAuthSerializer(row).data})
