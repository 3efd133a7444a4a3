"""Background work of this floor. Each task may run twice, late, or at the same time as itself, without harm."""

from __future__ import annotations

from celery import shared_task

from policy.services.decline_request import expire_requests
from policy.services.expire_approvals import expire_approvals, forget_approvals


@shared_task(name="policy.expire_approvals", ignore_result=True)
def expire() -> None:
    """Erase the arguments of what nobody answered in time; close what nobody used, and requests nobody answered."""
    expire_approvals()
    expire_requests()


@shared_task(name="policy.forget_settled", ignore_result=True)
def forget_settled() -> None:
    forget_approvals()
