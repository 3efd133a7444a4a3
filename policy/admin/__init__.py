"""The admin of this floor: rules as sentences, baselines, and what they would decide."""

from policy.admin import baselines, rules

__all__ = ["baselines", "rules"]
