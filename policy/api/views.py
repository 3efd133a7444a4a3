"""Rules, baselines and simulated decisions. Who may write which rule is policy.access's business."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from connections.models import Capability, Integration
from orgs.api.access import EVERYONE, POLICY_WRITERS, READERS
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import ForbiddenError
from orgs.api.serializers import CamelSerializer, page_of, wrapped
from orgs.models import Application, Group, Membership, User
from policy.api.shapes import (
    REFERENCES,
    BaselineInput,
    BaselineSerializer,
    BaselinesSerializer,
    DecisionSerializer,
    RuleInput,
    RuleQuery,
    RuleSerializer,
    SavedRuleResponse,
    SimulationInput,
)
from policy.findings import find_warnings
from policy.models import Baseline, Layer, Rule
from policy.querysets import RuleQuerySet
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.set_baseline import set_baseline
from policy.services.simulate import simulate
from policy.services.update_rule import update_rule

_FILTERS = ("layer", "effect", "mode", *REFERENCES)


class RuleView(ManagementView):
    """Base of everything about rules. Who has no role sees what concerns themselves and their applications."""

    readers = writers = EVERYONE
    tag = "Rules"

    def get_rules(self) -> RuleQuerySet[Rule]:
        rows = Rule.objects.for_organization(self.access.organization).with_names()
        if self.access.has(READERS):
            return rows
        mine = Q(layer=Layer.USER, user=self.access.user)
        inherited = Q(layer=Layer.USER, group__in=self._get_groups())
        owned = Q(layer=Layer.APPLICATION, application__owner=self.access.user)
        return rows.filter(mine | inherited | owned)

    def read_rule(self, *, partial: bool = False) -> dict[str, Any]:
        """Return the body's fields with rows in place of identifiers."""
        given = self.read(RuleInput, partial=partial)
        for name, field in REFERENCES.items():
            if name in given:
                given[field] = self._get_referred(field, given.pop(name))
        if "limit" in given:
            limit = given.pop("limit") or {"count": None, "period": "", "per": ""}
            given |= {f"limit_{name}": value for name, value in limit.items()}
        return given

    def _get_referred(self, field: str, key: UUID | None) -> Any:
        if key is None:
            return None
        if field == "user":
            members = Membership.objects.filter(organization=self.access.organization).values("user")
            return self.get_reference(User.objects.filter(pk__in=members), key, field="userId")
        models: dict[str, Any] = {"group": Group, "application": Application, "integration": Integration}
        rows = models[field].objects.for_organization(self.access.organization)
        return self.get_reference(rows, key, field=f"{field}Id")

    def _get_groups(self) -> Any:
        groups = Group.objects.for_organization(self.access.organization)
        return groups.filter(group_memberships__user=self.access.user)


class RulesView(RuleView):
    query_serializer: ClassVar[type[CamelSerializer]] = RuleQuery

    @extend_schema(operation_id="listRules", summary="List rules", responses=page_of(RuleSerializer))
    def get(self, request: Request) -> Response:
        """The newest first, each with the sentence it reads as."""
        rows = self.get_rules().filter(**{name: self.query[name] for name in _FILTERS if name in self.query})
        if self.query["is_enabled"] is not None:
            rows = rows.filter(is_enabled=self.query["is_enabled"])
        return self.answer_page(rows, RuleSerializer)

    @extend_schema(
        operation_id="createRule",
        summary="Write a rule",
        request=RuleInput,
        responses={201: SavedRuleResponse},
    )
    def post(self, request: Request) -> Response:
        """Holds in the gateway within a second. Your own layer is yours alone to write; the organization's layer and
        groups are administrators' and policy authors'; an application's layer is its owner's, too.

        `warnings` names what its author should know: that it never matches, or that another rule stands in its way.
        """
        given = self.read_rule()
        rule = create_rule(
            organization=self.access.organization, author=self.access.user, actor=self.access.actor, **given
        )
        return _answer_saved(rule, status=201)


class RuleDetailView(RuleView):
    @extend_schema(operation_id="getRule", summary="Get a rule", responses=wrapped("rule", RuleSerializer))
    def get(self, request: Request, rule_id: UUID) -> Response:
        return Response({"rule": RuleSerializer(get_row(self.get_rules(), rule_id)).data})

    @extend_schema(
        operation_id="updateRule",
        summary="Change a rule",
        request=RuleInput,
        responses=SavedRuleResponse,
    )
    def patch(self, request: Request, rule_id: UUID) -> Response:
        """Only what is given changes. Holds in the gateway within a second."""
        rule = get_row(self.get_rules(), rule_id)
        given = self.read_rule(partial=True)
        return _answer_saved(update_rule(rule=rule, author=self.access.user, actor=self.access.actor, **given))

    @extend_schema(operation_id="deleteRule", summary="Delete a rule", responses={204: None})
    def delete(self, request: Request, rule_id: UUID) -> Response:
        """The audit trail keeps what it said."""
        delete_rule(rule=get_row(self.get_rules(), rule_id), author=self.access.user, actor=self.access.actor)
        return Response(status=204)


class SimulateView(RuleView):
    @extend_schema(
        operation_id="simulateCall",
        summary="Decide a call without making it",
        request=SimulationInput,
        responses=wrapped("decision", DecisionSerializer),
    )
    def post(self, request: Request) -> Response:
        """What the rules say now, and why. Whether a connection or a consent would stop the call is not looked at.

        Without a role in the organization, only calls for yourself.
        """
        given = self.read(SimulationInput)
        decision = simulate(
            organization=self.access.organization,
            user=self._read_user(given),
            application=self._get_referred("application", given["application_id"]),
            capability=self._read_capability(given["tool_id"]),
            arguments=given.get("arguments", {}),
            source_address=given.get("source_address", ""),
        )
        explanation = decision.explain()
        answer = {"effect": decision.effect, "sentence": explanation["sentence"], "explanation": explanation}
        return Response({"decision": DecisionSerializer(answer).data})

    def _read_user(self, given: dict[str, Any]) -> User | None:
        if given["user_id"] != self.access.user.pk and not self.access.has(READERS):
            raise ForbiddenError("Your role lets you simulate calls for yourself alone: send your own userId.")
        user: User | None = self._get_referred("user", given["user_id"])
        return user

    def _read_capability(self, tool_id: str) -> Capability:
        slug, _, name = tool_id.partition(":")
        rows = Capability.objects.for_organization(self.access.organization).select_related("integration")
        found = rows.filter(integration__slug=slug, name=name, kind=Capability.Kind.TOOL).first()
        if found is None:
            raise serializers.ValidationError({"toolId": ["There is no such capability: write github:create_issue."]})
        return found


class BaselinesView(ManagementView):
    tag = "Rules"

    @extend_schema(operation_id="listBaselines", summary="List baselines", responses=BaselinesSerializer)
    def get(self, request: Request) -> Response:
        """What each layer says when none of its rules does."""
        rows = Baseline.objects.for_organization(self.access.organization)
        stored = dict(rows.values_list("layer", "effect"))
        items = [{"layer": layer, "effect": stored.get(layer)} for layer in Layer.values]
        return Response(BaselinesSerializer({"items": items}).data)


class BaselineDetailView(ManagementView):
    writers = POLICY_WRITERS
    tag = "Rules"

    @extend_schema(
        operation_id="setBaseline",
        summary="Set a layer's baseline",
        request=BaselineInput,
        responses=wrapped("baseline", BaselineSerializer),
    )
    def put(self, request: Request, layer: str) -> Response:
        """Null returns to denying what no rule allows."""
        effect = self.read(BaselineInput)["effect"]
        set_baseline(organization=self.access.organization, layer=layer, effect=effect, actor=self.access.actor)
        return Response({"baseline": BaselineSerializer({"layer": layer, "effect": effect}).data})


def _answer_saved(rule: Rule, *, status: int = 200) -> Response:
    return Response(SavedRuleResponse({"rule": rule, "warnings": find_warnings(rule)}).data, status=status)
