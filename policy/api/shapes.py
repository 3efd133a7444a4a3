"""What rules look like in requests and answers. `conditions` is written as policy/engine/conditions.py says."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.models import Capability
from orgs.api.serializers import CamelSerializer, NullableObjectField, ObjectField, PageQuery
from policy.describe import describe_rule
from policy.models import Effect, Layer, Rule

_CONDITIONS = (
    'A tree of tests: `{"argument": "repo", "operator": "equals", "value": "acme/frontend"}`, joined by '
    '`{"all": [...]}`, `{"any": [...]}`, `{"unless": {...}}`. Null: always.'
)
_CAPABILITY = "A name or a pattern without the integration's: `create_issue`, `create_*`. Empty: all."
_SUBJECTS = ("user_id", "group_id", "application_id", "integration_id")
REFERENCES = {name: name.removesuffix("_id") for name in _SUBJECTS}


class LimitSerializer(CamelSerializer):
    """How often an allow may be used. A period begins with the first use after the last one ended."""

    count = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    period = serializers.ChoiceField(choices=Rule.Period.choices)
    per = serializers.ChoiceField(choices=Rule.Per.choices, help_text="Whose calls are counted together.")


class RuleSerializer(CamelSerializer):
    id = serializers.UUIDField()
    sentence = serializers.SerializerMethodField(method_name="get_sentence")
    layer = serializers.ChoiceField(choices=Layer.choices)
    effect = serializers.ChoiceField(choices=Effect.choices)
    user_id = serializers.UUIDField(allow_null=True)
    group_id = serializers.UUIDField(allow_null=True)
    application_id = serializers.UUIDField(allow_null=True)
    integration_id = serializers.UUIDField(allow_null=True, help_text="Null: every integration.")
    capability = serializers.CharField(help_text=_CAPABILITY)
    klass = serializers.CharField(help_text="read, write, destructive, or empty: all.")
    conditions = NullableObjectField(help_text=_CONDITIONS)
    reason = serializers.CharField()
    valid_from = serializers.DateTimeField(allow_null=True)
    valid_until = serializers.DateTimeField(allow_null=True)
    limit = serializers.SerializerMethodField(method_name="get_limit")
    mode = serializers.ChoiceField(choices=Rule.Mode.choices)
    is_enabled = serializers.BooleanField()
    created_by_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_sentence(self, rule: Rule) -> str:
        return describe_rule(rule)

    @extend_schema_field(LimitSerializer(allow_null=True))
    def get_limit(self, rule: Rule) -> dict[str, Any] | None:
        if rule.limit_count is None:
            return None
        return {"count": rule.limit_count, "period": rule.limit_period, "per": rule.limit_per}


class RuleWarningSerializer(CamelSerializer):
    code = serializers.CharField(help_text="What was found, as `never_matches` or `outweighed`.")
    sentence = serializers.CharField(help_text="What it means, and what to do.")


class SavedRuleResponse(CamelSerializer):
    """A rule as it is stored now. Warnings say what its author should know; they refuse nothing."""

    rule = RuleSerializer()
    warnings = RuleWarningSerializer(many=True)


class RuleInput(CamelSerializer):
    """What POST takes, and PATCH, where all of it is optional."""

    layer = serializers.ChoiceField(choices=Layer.choices)
    effect = serializers.ChoiceField(choices=Effect.choices)
    user_id = serializers.UUIDField(allow_null=True, required=False)
    group_id = serializers.UUIDField(allow_null=True, required=False)
    application_id = serializers.UUIDField(allow_null=True, required=False)
    integration_id = serializers.UUIDField(allow_null=True, required=False)
    capability = serializers.CharField(max_length=255, allow_blank=True, required=False, help_text=_CAPABILITY)
    klass = serializers.ChoiceField(choices=Capability.Klass.choices, allow_blank=True, required=False)
    conditions = NullableObjectField(allow_null=True, required=False, help_text=_CONDITIONS)
    reason = serializers.CharField(
        max_length=255, allow_blank=True, required=False, help_text="What a refused person reads."
    )
    valid_from = serializers.DateTimeField(allow_null=True, required=False)
    valid_until = serializers.DateTimeField(allow_null=True, required=False)
    limit = LimitSerializer(allow_null=True, required=False, help_text="Only for rules that allow. Null: none.")
    mode = serializers.ChoiceField(choices=Rule.Mode.choices, required=False)
    is_enabled = serializers.BooleanField(required=False)


class SimulationInput(CamelSerializer):
    """A call to decide without making it."""

    application_id = serializers.UUIDField()
    user_id = serializers.UUIDField(
        allow_null=True, help_text="Whom the application acts for; null when it acts for itself."
    )
    tool_id = serializers.CharField(max_length=300, help_text="As in `github:create_issue`.")
    arguments = serializers.DictField(required=False)
    source_address = serializers.IPAddressField(required=False)


class DecisionSerializer(CamelSerializer):
    """Why a call is decided so, as audit events and the gateway say it, too."""

    effect = serializers.ChoiceField(choices=Effect.choices)
    sentence = serializers.CharField()
    explanation = ObjectField(help_text="Each layer's verdict and rules, and the nearest fix.")


class BaselineSerializer(CamelSerializer):
    layer = serializers.ChoiceField(choices=Layer.choices)
    effect = serializers.ChoiceField(choices=Effect.choices, allow_null=True, help_text="Null: the layer denies.")


class BaselineInput(CamelSerializer):
    effect = serializers.ChoiceField(
        choices=Effect.choices, allow_null=True, help_text="What the layer says when no rule does. Null: it denies."
    )


class BaselinesSerializer(CamelSerializer):
    items = BaselineSerializer(many=True)


class RuleQuery(PageQuery):
    layer = serializers.ChoiceField(choices=Layer.choices, required=False)
    effect = serializers.ChoiceField(choices=Effect.choices, required=False)
    user_id = serializers.UUIDField(required=False)
    group_id = serializers.UUIDField(required=False)
    application_id = serializers.UUIDField(required=False)
    integration_id = serializers.UUIDField(required=False)
    mode = serializers.ChoiceField(choices=Rule.Mode.choices, required=False)
    is_enabled = serializers.BooleanField(required=False, allow_null=True, default=None)
