"""Rows for tests, with the least that makes them valid. The cast: Acme's Alice, Bob and Carol; Globex's Mallory."""

from tests.factories.cast import Cast, make_cast
from tests.factories.rows import (
    allow_integration,
    keep_content,
    make_application,
    make_approval,
    make_call,
    make_capability,
    make_connection,
    make_delegation,
    make_group,
    make_integration,
    make_member,
    make_organization,
    make_rule,
    make_rule_request,
)
from tests.factories.tokens import issue_token

__all__ = [
    "Cast",
    "allow_integration",
    "issue_token",
    "keep_content",
    "make_application",
    "make_approval",
    "make_call",
    "make_capability",
    "make_cast",
    "make_connection",
    "make_delegation",
    "make_group",
    "make_integration",
    "make_member",
    "make_organization",
    "make_rule",
    "make_rule_request",
]
