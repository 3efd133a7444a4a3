"""Proofs that the log is what it was: the tree's signed head, that an event is in it, that it only grew."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import Tree
from audit.proofs import (
    NoSuchSizeError,
    NotSealedError,
    find_cosigned,
    get_newest_checkpoint,
    prove_event,
    prove_growth,
)
from audit.services.seal import read_frontier
from orgs.api.base import get_row
from orgs.api.errors import ManagementError
from orgs.api.serializers import CamelSerializer, wrapped
from orgs.api.shapes.trees import (
    AuditTreeSerializer,
    ConsistencyProofSerializer,
    ConsistencyQuery,
    InclusionProofSerializer,
)
from orgs.api.views.events import LogView
from orgs.errors import say
from orgs.services.checkpoint_keys import get_verifier_keys


class NotYetSealedError(ManagementError):
    status_code = 409
    code = "kontext_not_sealed"
    message = "This event is not sealed yet: that takes a second. Try again; if it lasts, is the sealer running?"
    wait = 1


class TreeView(LogView):
    """Base of what is about the organization's whole tree. It says nothing of any event, so every member may ask."""

    def get_tree(self) -> Tree:
        """Return the organization's tree, or an empty one before its first event is sealed."""
        tree = Tree.objects.for_organization(self.access.organization.pk).first()
        return tree or Tree(organization_id=self.access.organization.pk, origin="")


class AuditTreeView(TreeView):
    @extend_schema(
        operation_id="getAuditTree", summary="Get the audit tree", responses=wrapped("tree", AuditTreeSerializer)
    )
    def get(self, request: Request) -> Response:
        """Its newest signed checkpoint and the keys that verify it. Keep checkpoints: each binds all events before."""
        tree = self.get_tree()
        return Response({"tree": AuditTreeSerializer(_describe(tree)).data})


class ConsistencyProofView(TreeView):
    query_serializer: ClassVar[type[CamelSerializer]] = ConsistencyQuery

    @extend_schema(
        operation_id="getConsistencyProof",
        summary="Prove that the audit tree only grew",
        responses=wrapped("proof", ConsistencyProofSerializer),
    )
    def get(self, request: Request) -> Response:
        """Between the sizes of two checkpoints that you have."""
        tree = self.get_tree()
        old, new = self.query["from_size"], self.query.get("to_size", tree.size)
        try:
            proof = prove_growth(tree, old=old, new=new)
        except NoSuchSizeError as error:
            raise serializers.ValidationError({"fromSize" if old > new else "toSize": [say(error)]}) from None
        return Response({"proof": ConsistencyProofSerializer(proof).data})


class InclusionProofView(LogView):
    @extend_schema(
        operation_id="getInclusionProof",
        summary="Prove that an audit event is in the tree",
        responses=wrapped("proof", InclusionProofSerializer),
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        """With the newest signed checkpoint, which the proof leads to."""
        event = get_row(self.get_events(), event_id)
        try:
            proof = prove_event(event.pk)
        except NotSealedError:
            raise NotYetSealedError from None
        return Response({"proof": InclusionProofSerializer({**vars(proof), "event_id": event.pk}).data})


def _describe(tree: Tree) -> dict[str, Any]:
    newest = get_newest_checkpoint(tree) if tree.size else None
    return {
        "origin": tree.origin,
        "size": tree.size,
        "root": read_frontier(tree.size, tree.frontier).root(),
        "checkpoint": newest.note if newest is not None else None,
        "sealed_at": newest.sealed_at if newest is not None else None,
        "published_size": tree.published_size,
        "published_at": tree.published_at,
        "cosigned": find_cosigned(tree, tree.size) if tree.size else [],
        "keys": [str(key) for key in get_verifier_keys(tree.origin)] if tree.origin else [],
    }
