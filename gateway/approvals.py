"""Approvals in the data plane: those that stay come with the snapshot, and those for one call from the database."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.facts import ApprovalPage, Snapshot
from gateway.threads import Threads
from policy.approvals import get_link, name_answerer
from policy.engine import Question, Topic, find_grants
from policy.models import Approval
from policy.services.use_approvals import AskedCall, use_approvals

_SECONDS = 5.0


class Approvals:
    """Finds, uses up and asks for approvals. What needs the database runs on `threads`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def find_standing(
        self, snapshot: Snapshot, topic: Topic, questions: Sequence[Question], *, digest: str, since: float
    ) -> tuple[str, ...] | None:
        """Return the approvals that answer all questions and stay, or None where some question has no such answer."""
        now = time.time()
        grants = find_grants(snapshot.grants, topic, questions)
        found = []
        for question in questions:
            covering = (one for one in grants if one.covers(question, arguments_digest=digest, now=now, since=since))
            grant = next(covering, None)
            if grant is None:
                return None
            found.append(grant.id)
        return tuple(found)

    async def use(self, asked: AskedCall) -> tuple[tuple[str, ...], tuple[ApprovalPage, ...]]:
        """Return the approvals by which a call passes, or else the pages where it waits for some.

        Raises what policy.services.use_approvals does, and UnavailableError: then nothing is known, and nothing passes.
        """
        refusal = "approvals can't be looked up at present, so nothing was done"
        return await self._threads.run_or_refuse(_SECONDS, refusal, _use, asked)


def _use(asked: AskedCall) -> tuple[tuple[str, ...], tuple[ApprovalPage, ...]]:
    rows = use_approvals(asked=asked)
    pages = tuple(_make_page(row) for row in rows if row.status == Approval.Status.PENDING)
    return (() if pages else tuple(str(row.pk) for row in rows)), pages


def _make_page(row: Approval) -> ApprovalPage:
    return ApprovalPage(
        id=str(row.pk),
        url=get_link(row),
        layer=row.layer,
        by=name_answerer(row),
        code=row.code,
        expires_at=row.expires_at.isoformat() if row.expires_at is not None else "",
    )
