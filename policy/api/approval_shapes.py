"""What approvals and requests for rules look like in requests and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from connections.models import Capability
from orgs.api.serializers import CamelSerializer, NullableObjectField, PageQuery
from orgs.vault import VaultError
from policy.approvals import LIFETIMES, describe_answer_rule, describe_questioners, open_arguments
from policy.describe import describe_rule
from policy.models import Approval, Layer, RuleRequest
from policy.requests import make_rule

_LIFETIME = "For `arguments` and `period`: quarter (of an hour), hour, day (8 hours) or week."


class ApprovalSerializer(CamelSerializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Approval.Status.choices)
    layer = serializers.ChoiceField(choices=Layer.choices, help_text="Who asks, and so who answers.")
    code = serializers.CharField(help_text="The application shows the same one.")
    application_id = serializers.UUIDField()
    user_id = serializers.UUIDField(allow_null=True, help_text="Null: the application acts for itself.")
    integration_id = serializers.UUIDField()
    tool_id = serializers.CharField(source="target", help_text="As in `github:create_issue`.")
    kind = serializers.CharField()
    klass = serializers.CharField()
    arguments_digest = serializers.CharField()
    call_id = serializers.UUIDField(source="call", help_text="The call that asked first.")
    scope = serializers.ChoiceField(choices=Approval.Scope.choices, allow_blank=True)
    rule_id = serializers.UUIDField(allow_null=True)
    answer = serializers.CharField(help_text="Why it was denied.")
    settled_by_id = serializers.UUIDField(allow_null=True)
    settled_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Until when it can be answered, then until when the answer counts."
    )


class ArgumentsField(NullableObjectField):
    """Opens an approval's arguments, while they are kept."""

    def __init__(self, **options: Any) -> None:
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, value: Any) -> Any:
        try:
            return open_arguments(value) if not value.is_over else None
        except VaultError:
            return None  # nobody can say yes to it: policy.services.approve_call refuses


class ApprovalDetailSerializer(ApprovalSerializer):
    arguments = ArgumentsField(
        help_text="What the call would be made with; null once it is answered: then they are erased."
    )
    asked_by = serializers.SerializerMethodField(method_name="get_asked_by")
    rule_sentence = serializers.SerializerMethodField(method_name="get_rule_sentence")

    def get_asked_by(self, approval: Approval) -> list[str]:
        return describe_questioners(approval)

    def get_rule_sentence(self, approval: Approval) -> str:
        return describe_answer_rule(approval)


class ApproveInput(CamelSerializer):
    scope = serializers.ChoiceField(choices=Approval.Scope.choices)
    lifetime = serializers.ChoiceField(choices=list(LIFETIMES), required=False, help_text=_LIFETIME)


class DenyInput(CamelSerializer):
    reason = serializers.CharField(
        max_length=255, allow_blank=True, required=False, help_text="The application and its user read it."
    )


class ApprovalQuery(PageQuery):
    status = serializers.ChoiceField(choices=Approval.Status.choices, required=False)
    layer = serializers.ChoiceField(choices=Layer.choices, required=False)
    application_id = serializers.UUIDField(required=False)
    user_id = serializers.UUIDField(required=False)


class RuleRequestSerializer(CamelSerializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=RuleRequest.Status.choices)
    action = serializers.ChoiceField(choices=RuleRequest.Action.choices)
    layer = serializers.ChoiceField(choices=Layer.choices)
    sentence = serializers.CharField(help_text="What is proposed, and who could do it.")
    rule_sentence = serializers.SerializerMethodField(method_name="get_rule_sentence")
    asker_id = serializers.UUIDField()
    application_id = serializers.UUIDField()
    integration_id = serializers.UUIDField()
    capability = serializers.CharField()
    rule_id = serializers.UUIDField(allow_null=True, help_text="The rule to remove, or the one that was written.")
    note = serializers.CharField(help_text="In the asker's words.")
    call_id = serializers.UUIDField(source="call", help_text="The call that was refused.")
    answer = serializers.CharField(help_text="Why it was declined.")
    settled_by_id = serializers.UUIDField(allow_null=True)
    settled_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_rule_sentence(self, request: RuleRequest) -> str:
        return describe_rule(make_rule(request))


class RuleRequestInput(CamelSerializer):
    call_id = serializers.UUIDField(help_text="A call of yours that was refused.")
    change = serializers.IntegerField(
        min_value=0, max_value=100, help_text="Which change of its explanation's `fix`, counted from 0."
    )
    note = serializers.CharField(max_length=500, allow_blank=True, required=False)


class AcceptInput(CamelSerializer):
    """What the rule says otherwise than was proposed. A removal takes none of it."""

    capability = serializers.CharField(max_length=255, required=False)
    klass = serializers.ChoiceField(choices=Capability.Klass.choices, allow_blank=True, required=False)
    conditions = NullableObjectField(allow_null=True, required=False)
    reason = serializers.CharField(max_length=255, allow_blank=True, required=False)
    valid_until = serializers.DateTimeField(allow_null=True, required=False)


class DeclineInput(CamelSerializer):
    reason = serializers.CharField(max_length=500, help_text="The person who asked reads it.")


class RuleRequestQuery(PageQuery):
    status = serializers.ChoiceField(choices=RuleRequest.Status.choices, required=False)
