"""Let go of what nobody answered or used in time."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.types import EventType
from orgs.http import make_actor
from policy.approvals import record_approval_event
from policy.models import Approval
from policy.querysets import ApprovalQuerySet

_BATCH = 500
# What happened is in the audit trail; the rows are for the people who want to see what they lately decided.
KEPT = dt.timedelta(days=90)


def expire_approvals() -> int:
    """Expire questions and approvals whose time is over, erasing the arguments; return how many those were."""
    with transaction.atomic():
        over = Q(expires_at__lte=timezone.now()) | Q(scope="rule", rule__isnull=True)
        live = Approval.objects.filter(over, status__in=(Approval.Status.PENDING, Approval.Status.APPROVED))
        return expire(live)


def forget_approvals() -> int:
    """Delete what was settled long ago."""
    settled = Approval.objects.exclude(status__in=(Approval.Status.PENDING, Approval.Status.APPROVED))
    deleted, _ = settled.filter(settled_at__lt=timezone.now() - KEPT).delete()
    return deleted


def expire(rows: ApprovalQuerySet[Approval]) -> int:
    """Expire these rows, of which some may be in somebody's hands just now: those are left to them."""
    found = rows.select_related("application", "integration", "user").order_by("pk")
    expired = list(found.select_for_update(of=("self",), skip_locked=True)[:_BATCH])
    for row in expired:
        row.status, row.arguments = Approval.Status.EXPIRED, b""
        row.settled_at = row.settled_at or timezone.now()
        row.save(update_fields=("status", "arguments", "settled_at"))
        record_approval_event(EventType.APPROVAL_EXPIRED, row, make_actor(), outcome="cancelled")
    return len(expired)
