"""What this floor stores: rules, answers to calls that a rule asks about, and people's requests for rules."""

from policy.models.approvals import Approval
from policy.models.requests import RuleRequest
from policy.models.rules import Baseline, Effect, Layer, LimitUse, Rule

__all__ = ["Approval", "Baseline", "Effect", "Layer", "LimitUse", "Rule", "RuleRequest"]
