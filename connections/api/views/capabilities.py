from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.shapes import (
    CapabilityChanges,
    CapabilityDetailSerializer,
    CapabilityQuery,
    CapabilitySerializer,
)
from connections.definitions import digest_definition
from connections.models import Capability
from connections.querysets import CapabilityQuerySet
from connections.services.accept_capability import accept_capability, confirm_class
from orgs.api.access import EVERYONE, READERS
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import ConflictError
from orgs.api.serializers import CamelSerializer, page_of, wrapped


class CapabilityView(ManagementView):
    """Base of everything about capabilities. Who has no role sees those that are offered."""

    readers = EVERYONE
    tag = "Capabilities"

    def get_capabilities(self) -> CapabilityQuerySet[Capability]:
        rows = Capability.objects.for_organization(self.access.organization).select_related("integration")
        return rows if self.access.has(READERS) else rows.offered()


class CapabilitiesView(CapabilityView):
    query_serializer: ClassVar[type[CamelSerializer]] = CapabilityQuery

    @extend_schema(
        operation_id="listCapabilities", summary="List capabilities", responses=page_of(CapabilitySerializer)
    )
    def get(self, request: Request) -> Response:
        """What the integrations can do, as they said at the last discovery."""
        names = ("integration_id", "status", "klass", "kind", "name")
        rows = self.get_capabilities().filter(**{name: self.query[name] for name in names if name in self.query})
        return self.answer_page(rows, CapabilitySerializer)


class CapabilityDetailView(CapabilityView):
    @extend_schema(
        operation_id="getCapability",
        summary="Get a capability",
        responses=wrapped("capability", CapabilityDetailSerializer),
    )
    def get(self, request: Request, capability_id: UUID) -> Response:
        """With its definition, and the one that waits to be accepted if there is one."""
        return _answer(get_row(self.get_capabilities(), capability_id))

    @extend_schema(
        operation_id="updateCapability",
        summary="Accept a changed definition, or say what a capability does",
        request=CapabilityChanges,
        responses=wrapped("capability", CapabilityDetailSerializer),
    )
    def patch(self, request: Request, capability_id: UUID) -> Response:
        """`accept` takes a changed definition into use, and that one alone: 409 when it is another one by now."""
        given = self.read(CapabilityChanges, partial=True)
        with transaction.atomic():
            # Locked, so that what is accepted is what was looked at.
            locked = self.get_capabilities().select_for_update(of=("self",))
            capability = get_row(locked, capability_id)
            if "accept" in given:
                _check_is_held(capability, given["accept"])
                accept_capability(capability=capability, actor=self.access.actor)
            if "klass" in given:
                confirm_class(capability=capability, klass=given["klass"], actor=self.access.actor)
        return _answer(capability)


def _check_is_held(capability: Capability, digest: str) -> None:
    if capability.status != Capability.Status.HELD or capability.held_definition is None:
        raise ConflictError("This capability has no changed definition that waits to be accepted.")
    if digest_definition(capability.held_definition) != digest:
        raise ConflictError("The definition changed once more since you looked at it: read it again, then accept it.")


def _answer(capability: Capability) -> Response:
    return Response({"capability": CapabilityDetailSerializer(capability).data})
