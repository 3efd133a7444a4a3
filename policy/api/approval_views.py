"""Approvals and requests for rules: what waits for the person behind the token, and their answers."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import AuditEvent
from orgs.api.access import EVERYONE
from orgs.api.base import ManagementView, get_row
from orgs.api.errors import ForbiddenError
from orgs.api.serializers import CamelSerializer, page_of, wrapped
from orgs.models import Membership
from policy import approvals, requests
from policy.api.approval_shapes import (
    AcceptInput,
    ApprovalDetailSerializer,
    ApprovalQuery,
    ApprovalSerializer,
    ApproveInput,
    DeclineInput,
    DenyInput,
    RuleRequestInput,
    RuleRequestQuery,
    RuleRequestSerializer,
)
from policy.models import Approval, RuleRequest
from policy.services.accept_request import accept_request
from policy.services.approve_call import approve_call
from policy.services.decline_request import decline_request, withdraw_request
from policy.services.deny_call import deny_call
from policy.services.request_rule import request_rule
from policy.services.withdraw_approval import withdraw_approval


class AnswerView(ManagementView):
    """Base of what people answer. Everybody may; whether they may this one is policy.access's business."""

    readers = writers = EVERYONE
    tag = "Approvals"

    def get_membership(self) -> Membership:
        rows = Membership.objects.filter(organization=self.access.organization, user=self.access.user)
        return rows.select_related("organization", "user").get()

    def narrow(self, rows: Any, names: tuple[str, ...]) -> Any:
        return rows.filter(**{name: self.query[name] for name in names if name in self.query})


class ApprovalView(AnswerView):
    def get_approval(self, approval_id: UUID) -> Approval:
        return get_row(approvals.find_visible(self.get_membership()), approval_id)

    def get_answerable(self, approval_id: UUID) -> Approval:
        """Return it for an answer: of a person's, but never through the application that is waiting for it."""
        found = self.get_approval(approval_id)
        if found.application_id == self.access.application.pk:
            raise ForbiddenError("An application can't answer what is asked about itself: use the portal.")
        return found


class ApprovalsView(ApprovalView):
    query_serializer: ClassVar[type[CamelSerializer]] = ApprovalQuery

    @extend_schema(operation_id="listApprovals", summary="List approvals", responses=page_of(ApprovalSerializer))
    def get(self, request: Request) -> Response:
        """Calls that a rule asks about: those that you answer, and those made for you. The newest first."""
        rows = approvals.find_visible(self.get_membership())
        filters = ("status", "layer", "application_id", "user_id")
        return self.answer_page(self.narrow(rows, filters), ApprovalSerializer)


class ApprovalDetailView(ApprovalView):
    @extend_schema(
        operation_id="getApproval", summary="Get an approval", responses=wrapped("approval", ApprovalDetailSerializer)
    )
    def get(self, request: Request, approval_id: UUID) -> Response:
        """With the arguments of the call, while it waits."""
        return Response({"approval": ApprovalDetailSerializer(self.get_approval(approval_id)).data})


class ApproveView(ApprovalView):
    @extend_schema(
        operation_id="approveCall",
        summary="Approve a call",
        request=ApproveInput,
        responses=wrapped("approval", ApprovalSerializer),
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        """Once, these arguments or any for a time, or as a rule, which is written in the layer that asks."""
        given = self.read(ApproveInput)
        found = self.get_answerable(approval_id)
        return _answer_approval(
            approve_call(approval=found, approver=self.access.user, actor=self.access.actor, **given)
        )


class DenyView(ApprovalView):
    @extend_schema(
        operation_id="denyCall",
        summary="Deny a call",
        request=DenyInput,
        responses=wrapped("approval", ApprovalSerializer),
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        """The same call is not asked about for an hour."""
        given = self.read(DenyInput)
        found = self.get_answerable(approval_id)
        return _answer_approval(deny_call(approval=found, approver=self.access.user, actor=self.access.actor, **given))


class WithdrawApprovalView(ApprovalView):
    @extend_schema(
        operation_id="withdrawApproval",
        summary="Take an approval back",
        request=None,
        responses=wrapped("approval", ApprovalSerializer),
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        """The next call is asked about again."""
        found = self.get_answerable(approval_id)
        return _answer_approval(withdraw_approval(approval=found, withdrawer=self.access.user, actor=self.access.actor))


class RuleRequestView(AnswerView):
    def get_request(self, rule_request_id: UUID) -> RuleRequest:
        return get_row(requests.find_visible(self.get_membership()), rule_request_id)


class RuleRequestsView(RuleRequestView):
    query_serializer: ClassVar[type[CamelSerializer]] = RuleRequestQuery

    @extend_schema(
        operation_id="listRuleRequests", summary="List requests for rules", responses=page_of(RuleRequestSerializer)
    )
    def get(self, request: Request) -> Response:
        """Those that you answer, and your own. The newest first."""
        rows = requests.find_visible(self.get_membership())
        return self.answer_page(self.narrow(rows, ("status",)), RuleRequestSerializer)

    @extend_schema(
        operation_id="requestRule",
        summary="Ask for a rule",
        request=RuleRequestInput,
        responses={201: wrapped("ruleRequest", RuleRequestSerializer)},
    )
    def post(self, request: Request) -> Response:
        """What the explanation of a refused call of yours proposes. Asked twice, it is the same request."""
        given = self.read(RuleRequestInput)
        events = AuditEvent.objects.for_organization(self.access.organization.pk).of_user(self.access.user.pk)
        event = events.calls().filter(call=given["call_id"]).first()
        if event is None:
            raise serializers.ValidationError({"callId": ["You have made no such call here."]})
        made = request_rule(
            membership=self.get_membership(),
            call=event,
            number=given["change"],
            note=given.get("note", ""),
            actor=self.access.actor,
        )
        return _answer_request(made, status=201)


class RuleRequestDetailView(RuleRequestView):
    @extend_schema(
        operation_id="getRuleRequest",
        summary="Get a request for a rule",
        responses=wrapped("ruleRequest", RuleRequestSerializer),
    )
    def get(self, request: Request, rule_request_id: UUID) -> Response:
        return _answer_request(self.get_request(rule_request_id))


class AcceptView(RuleRequestView):
    @extend_schema(
        operation_id="acceptRuleRequest",
        summary="Accept a request for a rule",
        request=AcceptInput,
        responses=wrapped("ruleRequest", RuleRequestSerializer),
    )
    def post(self, request: Request, rule_request_id: UUID) -> Response:
        """Writes the rule, or removes the one that denies. Everybody who asks for the same is answered."""
        given = self.read(AcceptInput)
        found = self.get_request(rule_request_id)
        return _answer_request(
            accept_request(request=found, acceptor=self.access.user, actor=self.access.actor, **given)
        )


class DeclineView(RuleRequestView):
    @extend_schema(
        operation_id="declineRuleRequest",
        summary="Decline a request for a rule",
        request=DeclineInput,
        responses=wrapped("ruleRequest", RuleRequestSerializer),
    )
    def post(self, request: Request, rule_request_id: UUID) -> Response:
        given = self.read(DeclineInput)
        found = self.get_request(rule_request_id)
        return _answer_request(
            decline_request(request=found, decliner=self.access.user, actor=self.access.actor, **given)
        )


class WithdrawRequestView(RuleRequestView):
    @extend_schema(
        operation_id="withdrawRuleRequest",
        summary="Take a request of your own back",
        request=None,
        responses=wrapped("ruleRequest", RuleRequestSerializer),
    )
    def post(self, request: Request, rule_request_id: UUID) -> Response:
        found = self.get_request(rule_request_id)
        return _answer_request(withdraw_request(request=found, asker=self.access.user, actor=self.access.actor))


def _answer_approval(approval: Approval) -> Response:
    return Response({"approval": ApprovalSerializer(approval).data})


def _answer_request(made: RuleRequest, *, status: int = 200) -> Response:
    return Response({"ruleRequest": RuleRequestSerializer(made).data}, status=status)
