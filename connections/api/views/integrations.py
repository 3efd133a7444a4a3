from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.shapes import (
    IntegrationChanges,
    IntegrationInput,
    IntegrationQuery,
    IntegrationSerializer,
    OAuthClientInput,
    OAuthClientSerializer,
    ValidationSerializer,
)
from connections.catalogue.adopt import CATEGORIES
from connections.catalogue.loading import find_entry
from connections.models import Capability, Integration, OAuthClient
from connections.querysets import IntegrationQuerySet
from connections.services.add_from_catalogue import add_from_catalogue
from connections.services.add_integration import add_integration
from connections.services.delete_integration import delete_integration
from connections.services.discover_integration import discover_integration
from connections.services.set_oauth_client import set_oauth_client
from connections.services.update_integration import update_integration
from orgs.api.access import EVERYONE, READERS
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import NotFoundError, TooManyRequestsError
from orgs.api.serializers import CamelSerializer, NoInput, page_of, wrapped
from orgs.limits import Limit, record_use

# Each makes several requests to somebody else's server.
DISCOVERIES = Limit("management-discoveries", uses=30)


class IntegrationView(ManagementView):
    """Base of everything about integrations. Who has no role sees those that are in use."""

    readers = EVERYONE
    tag = "Integrations"

    def get_integrations(self) -> IntegrationQuerySet[Integration]:
        rows = Integration.objects.for_organization(self.access.organization)
        return rows if self.access.has(READERS) else rows.active()

    def get_integration(self, integration_id: UUID) -> Integration:
        return get_row(self.get_integrations().select_related("organization"), integration_id)


class IntegrationsView(IntegrationView):
    query_serializer: ClassVar[type[CamelSerializer]] = IntegrationQuery

    @extend_schema(
        operation_id="listIntegrations", summary="List integrations", responses=page_of(IntegrationSerializer)
    )
    def get(self, request: Request) -> Response:
        """The newest first."""
        names = ("status", "auth_mode", "category", "slug")
        rows = self.get_integrations().filter(**{name: self.query[name] for name in names if name in self.query})
        return self.answer_page(rows, IntegrationSerializer)

    @extend_schema(
        operation_id="createIntegration",
        summary="Add an integration",
        request=IntegrationInput,
        responses={201: wrapped("integration", IntegrationSerializer)},
    )
    def post(self, request: Request) -> Response:
        """As a draft; nothing is asked of it until it is validated."""
        given = self.read(IntegrationInput)
        return _answer(self._add_known(given) if "catalogue_entry" in given else self._add(given), status=201)

    def _add(self, given: dict[str, Any]) -> Integration:
        wanted = {"slug", "name", "url"}
        problems = {name: ["This field is required without catalogueEntry."] for name in sorted(wanted - set(given))}
        if "parameters" in given:
            problems["parameters"] = ["These go with catalogueEntry."]
        if problems:
            raise ValidationError(problems)
        return add_integration(organization=self.access.organization, actor=self.access.actor, **given)

    def _add_known(self, given: dict[str, Any]) -> Integration:
        entry = find_entry(given.pop("catalogue_entry"))
        if entry is None:
            raise ValidationError({"catalogue_entry": ["There is no such service in the catalogue."]})
        fixed = sorted({"url", "key_header", "key_template"} & set(given))
        if fixed:
            raise ValidationError(dict.fromkeys(fixed, "The catalogue says this: leave it out, or catalogueEntry."))
        category = given.pop("category", "")
        use = next((use for use, one in CATEGORIES.items() if one == category), "")
        return add_from_catalogue(
            organization=self.access.organization, entry=entry, use=use, actor=self.access.actor, **given
        )


class IntegrationDetailView(IntegrationView):
    @extend_schema(
        operation_id="getIntegration",
        summary="Get an integration",
        responses=wrapped("integration", IntegrationSerializer),
    )
    def get(self, request: Request, integration_id: UUID) -> Response:
        return _answer(self.get_integration(integration_id))

    @extend_schema(
        operation_id="updateIntegration",
        summary="Change an integration",
        request=IntegrationChanges,
        responses=wrapped("integration", IntegrationSerializer),
    )
    def patch(self, request: Request, integration_id: UUID) -> Response:
        """Another auth mode or another server ends every connection and makes it a draft again."""
        integration = self.get_integration(integration_id)
        given = self.read(IntegrationChanges, partial=True)
        if given.get("status") == Integration.Status.ACTIVE and integration.status == Integration.Status.DRAFT:
            raise ValidationError({"status": ["A draft becomes active by validating it: POST to its /validate."]})
        update_integration(integration=integration, actor=self.access.actor, **given)
        return _answer(integration)

    @extend_schema(operation_id="deleteIntegration", summary="Delete an integration", responses={204: None})
    def delete(self, request: Request, integration_id: UUID) -> Response:
        """Its capabilities and connections go with it; what it issued is revoked there."""
        delete_integration(integration=self.get_integration(integration_id), actor=self.access.actor)
        return Response(status=204)


class ValidateView(IntegrationView):
    @extend_schema(
        operation_id="validateIntegration",
        summary="Discover an integration and take it into use",
        request=None,
        responses=ValidationSerializer,
    )
    def post(self, request: Request, integration_id: UUID) -> Response:
        """Asks the integration for its authorization server, registers Kontext there, and lists its tools where no
        person is needed for that. What goes wrong is in `error`; an integration that was in use stays so.
        """
        self.read(NoInput)
        integration = self.get_integration(integration_id)
        wait = record_use(DISCOVERIES, str(self.access.organization.pk))
        if wait:
            raise TooManyRequestsError(wait)
        discover_integration(integration=integration, actor=self.access.actor)
        answer = {
            "integration": integration,
            "ok": not integration.discovery_error,
            "error": integration.discovery_error,
            "capability_count": Capability.objects.offered().filter(integration=integration).count(),
        }
        return Response(ValidationSerializer(answer).data)


class IntegrationOAuthView(IntegrationView):
    readers = READERS

    @extend_schema(
        operation_id="getIntegrationOAuth",
        summary="Get Kontext's registration at an integration",
        responses=wrapped("oauth", OAuthClientSerializer),
    )
    def get(self, request: Request, integration_id: UUID) -> Response:
        """404 as long as neither discovery nor anybody has said where its authorization server is."""
        client = OAuthClient.objects.filter(integration=self.get_integration(integration_id)).first()
        if client is None:
            raise NotFoundError("This integration has no OAuth configuration yet: validate it, or enter one.")
        return _answer_oauth(client)

    @extend_schema(
        operation_id="setIntegrationOAuth",
        summary="Enter Kontext's registration at an integration",
        request=OAuthClientInput,
        responses=wrapped("oauth", OAuthClientSerializer),
    )
    def put(self, request: Request, integration_id: UUID) -> Response:
        """Another server than before ends every connection: nothing that one issued is shown to another."""
        integration = self.get_integration(integration_id)
        given = self.read(OAuthClientInput)
        return _answer_oauth(set_oauth_client(integration=integration, actor=self.access.actor, **given))


def _answer(integration: Integration, *, status: int = 200) -> Response:
    return Response({"integration": IntegrationSerializer(integration).data}, status=status)


def _answer_oauth(client: OAuthClient) -> Response:
    return Response({"oauth": OAuthClientSerializer(client).data})
