"""Take back a yes that still counts."""

from __future__ import annotations

from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from policy.approvals import check_may_answer, record_approval_event
from policy.errors import SettledError
from policy.models import Approval


def withdraw_approval(*, approval: Approval, withdrawer: User, actor: Actor | None = None) -> Approval:
    """End an approval, in every gateway within a second. A rule that was written with it stays, and answers nothing.

    Raises NotAllowedToAnswerError, and SettledError where it no longer counts anyway.
    """
    with transaction.atomic():
        rows = Approval.objects.with_names().select_for_update(of=("self",))
        row = rows.filter(pk=approval.pk).first()
        if row is None or row.status != Approval.Status.APPROVED:
            raise SettledError("this no longer counts")
        check_may_answer(withdrawer, row)
        row.status = Approval.Status.WITHDRAWN
        row.save(update_fields=("status",))
        record_approval_event(EventType.APPROVAL_WITHDRAWN, row, actor or make_actor(user=withdrawer))
    return row
