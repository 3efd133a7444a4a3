"""Limits in the data plane: uses are counted in the database, so that all processes count together."""

from __future__ import annotations

from uuid import UUID

from gateway.threads import Threads
from policy.engine import Decision
from policy.services.take_uses import take_uses

_SECONDS = 5.0


class Limits:
    """Counts on `threads`; only calls that a rule with a limit decides come here."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def take(self, organization_id: str, decision: Decision) -> Decision:
        """Do what policy.services.take_uses does. Raises UnavailableError: then nothing is known, so nothing passes."""
        refusal = "the uses of a limited rule can't be counted at present, so nothing was done"
        return await self._threads.run_or_refuse(
            _SECONDS, refusal, take_uses, organization_id=UUID(organization_id), decision=decision
        )
