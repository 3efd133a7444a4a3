"""The admin of this floor: rules as sentences, baselines, what waits for an answer, and what they would decide."""

from policy.admin import approvals, baselines, rules

__all__ = ["approvals", "baselines", "rules"]
