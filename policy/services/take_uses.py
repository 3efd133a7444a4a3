"""Count the uses of rules that have a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from orgs.ids import uuid7
from policy.engine import Call, Decision, Per, Rule

# One statement, so that any number of processes count exactly: who comes second waits for the row and then sees it.
_TAKE = """
    INSERT INTO policy_limituse AS use (id, organization_id, rule_id, subject, began_at, used)
    VALUES (%(id)s, %(organization)s, %(rule)s, %(subject)s, statement_timestamp(), 1)
    ON CONFLICT (rule_id, subject) DO UPDATE SET
        used = CASE WHEN use.began_at <= statement_timestamp() - %(period)s THEN 1 ELSE use.used + 1 END,
        began_at = CASE WHEN use.began_at <= statement_timestamp() - %(period)s THEN statement_timestamp()
                        ELSE use.began_at END
    WHERE use.began_at <= statement_timestamp() - %(period)s OR use.used < %(count)s
    RETURNING use.used
"""
_READ_END = """
    SELECT extract(epoch FROM began_at + %(period)s) FROM policy_limituse
    WHERE rule_id = %(rule)s AND subject = %(subject)s
"""


def take_uses(*, organization_id: UUID, decision: Decision) -> Decision:
    """Count one use of each limit that a decision relies on, and return the decision that then holds.

    Where a limit is used up, other rules may still allow the call, perhaps by limits of their own; else what comes back
    is the refusal, which says so. Of the limits that one decision relies on, all are counted or none.
    """
    let_pass = decision.effect
    while decision.limits and decision.effect is let_pass:
        spent = _take(organization_id, decision.call, decision.limits)
        if not spent:
            return decision
        decision = decision.decide_without(spent)
    return decision


def _take(organization_id: UUID, call: Call, rules: Sequence[Rule]) -> dict[str, float]:
    """Count one use of each rule, or of none. Return the rules that are used up, and until when (unix seconds)."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Always in one order, so that two calls never wait for each other.
        for rule in sorted(rules, key=lambda rule: rule.id):
            given = _describe(organization_id, call, rule)
            cursor.execute(_TAKE, given)
            if cursor.fetchone() is None:
                cursor.execute(_READ_END, given)
                [ends_at] = cursor.fetchone() or [0]
                transaction.set_rollback(True)
                return {rule.id: float(ends_at)}
    return {}


def _describe(organization_id: UUID, call: Call, rule: Rule) -> dict[str, Any]:
    limit = rule.limit
    assert limit is not None
    subjects = {Per.RULE: rule.id, Per.APPLICATION: call.application, Per.USER: call.user or call.application}
    return {
        "id": uuid7(),
        "organization": organization_id,
        "rule": UUID(rule.id),
        "subject": UUID(subjects[limit.per]),
        "period": limit.period.length,
        "count": limit.count,
    }
