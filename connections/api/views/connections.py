from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.shapes import (
    ConnectAnswer,
    ConnectInput,
    ConnectionQuery,
    ConnectionSerializer,
    OwnConnectionSerializer,
)
from connections.api.views.integrations import IntegrationView
from connections.models import Connection, Integration
from connections.querysets import ConnectionQuerySet
from connections.services.begin_connect import begin_connect
from connections.services.connect_with_key import connect_with_key
from connections.services.revoke import revoke_connection
from connections.services.set_server_token import set_server_token
from orgs.api.access import EVERYONE, READERS, WRITERS
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import ForbiddenError, NotFoundError
from orgs.api.serializers import CamelSerializer, page_of, wrapped
from orgs.models import Application


class ConnectionView(ManagementView):
    """Base of everything about connections. Who has no role sees their own."""

    readers = writers = EVERYONE
    tag = "Connections"

    def get_connections(self) -> ConnectionQuerySet[Connection]:
        rows = Connection.objects.for_organization(self.access.organization).select_related("integration", "user")
        return rows if self.access.has(READERS) else rows.of_user(self.access.user)


class ConnectionsView(ConnectionView):
    query_serializer: ClassVar[type[CamelSerializer]] = ConnectionQuery

    @extend_schema(operation_id="listConnections", summary="List connections", responses=page_of(ConnectionSerializer))
    def get(self, request: Request) -> Response:
        """The newest first. Without a role in the organization, your own alone."""
        names = ("integration_id", "user_id", "status")
        rows = self.get_connections().filter(**{name: self.query[name] for name in names if name in self.query})
        return self.answer_page(rows, ConnectionSerializer)


class ConnectionDetailView(ConnectionView):
    @extend_schema(
        operation_id="getConnection",
        summary="Get a connection",
        responses=wrapped("connection", ConnectionSerializer),
    )
    def get(self, request: Request, connection_id: UUID) -> Response:
        return Response({"connection": _show(get_row(self.get_connections(), connection_id))})

    @extend_schema(
        operation_id="revokeConnection",
        summary="Disconnect",
        responses={200: wrapped("connection", ConnectionSerializer)},
    )
    def delete(self, request: Request, connection_id: UUID) -> Response:
        """Ends it here at once; the integration is told in the background, and `revocation` says what it answered."""
        connection = get_row(self.get_connections(), connection_id)
        if connection.user_id != self.access.user.pk and not self.access.has(WRITERS):
            raise ForbiddenError("Only an administrator ends other people's connections.")
        revoke_connection(connection=connection, reason=_get_reason(connection, self), actor=self.access.actor)
        return Response({"connection": _show(connection)})


class IntegrationConnectionView(IntegrationView):
    """The connection that the person of the token would use: their own, or the organization's."""

    writers = EVERYONE

    @extend_schema(
        operation_id="getIntegrationConnection",
        summary="Get your connection to an integration",
        responses=OwnConnectionSerializer,
    )
    def get(self, request: Request, integration_id: UUID) -> Response:
        """Null while there is none. With a key for the whole organization, it is the organization's."""
        connection = self._find(self.get_integration(integration_id))
        return Response({"connection": _show(connection) if connection is not None else None})

    @extend_schema(
        operation_id="connectIntegration",
        summary="Connect yourself, or the organization, to an integration",
        request=ConnectInput,
        responses={201: ConnectAnswer},
    )
    def post(self, request: Request, integration_id: UUID) -> Response:
        """Without a key the answer is a link that you open in a browser within 15 minutes. With a key (where the
        integration takes keys) it is the connection; an administrator's key for the whole organization too.
        """
        integration = self.get_integration(integration_id)
        given = self.read(ConnectInput)
        key = given.get("key_parts") or given.get("key", "")
        if integration.auth_mode == Integration.AuthMode.SERVER_TOKEN:
            self._check_administers()
            connection = set_server_token(integration=integration, key=key, actor=self.access.actor)
            return _answer(connection=connection)
        if key:
            connection = connect_with_key(
                user=self.access.user, integration=integration, key=key, actor=self.access.actor
            )
            return _answer(connection=connection)
        link = begin_connect(
            user=self.access.user,
            integration=integration,
            application=self._read_application(given),
            actor=self.access.actor,
        )
        return _answer(connect_url=link.url, session_id=link.session_id, expires_at=link.expires_at)

    @extend_schema(
        operation_id="disconnectIntegration",
        summary="End your connection to an integration",
        responses={200: wrapped("connection", ConnectionSerializer)},
    )
    def delete(self, request: Request, integration_id: UUID) -> Response:
        integration = self.get_integration(integration_id)
        if integration.auth_mode == Integration.AuthMode.SERVER_TOKEN:
            self._check_administers()
        connection = self._find(integration)
        if connection is None:
            raise NotFoundError("You have no connection to this integration.")
        revoke_connection(connection=connection, reason=_get_reason(connection, self), actor=self.access.actor)
        return Response({"connection": _show(connection)})

    def _find(self, integration: Integration) -> Connection | None:
        is_shared = integration.auth_mode == Integration.AuthMode.SERVER_TOKEN
        rows = Connection.objects.filter(integration=integration).select_related("integration", "user")
        return rows.filter(user=None if is_shared else self.access.user).first()

    def _check_administers(self) -> None:
        if not self.access.has(WRITERS):
            raise ForbiddenError("Only an administrator changes the organization's own connection.")

    def _read_application(self, given: dict[str, Any]) -> Application | None:
        if "application_id" not in given:
            return None
        rows = Application.objects.for_organization(self.access.organization)
        return self.get_reference(rows, given["application_id"], field="applicationId")


def _get_reason(connection: Connection, view: ManagementView) -> str:
    return "disconnected by the person" if connection.user_id == view.access.user.pk else "ended by an administrator"


def _show(connection: Connection) -> Any:
    return ConnectionSerializer(connection).data


def _answer(**given: Any) -> Response:
    nothing = dict.fromkeys(("connect_url", "session_id", "expires_at", "connection"))
    return Response(ConnectAnswer({**nothing, **given}).data, status=201)
