"""What the gateway notices on its way and others should look at: definitions that aren't as they were reviewed."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.facts import CapabilityFacts, IntegrationFacts

logger = logging.getLogger(__name__)

# One look at an integration covers all of its tools.
_SECONDS_BETWEEN = 30.0


class Notices:
    """Reports go to the worker, which asks the integration itself and records what it finds. None holds up a call."""

    def __init__(self) -> None:
        self._reported: dict[str, float] = {}
        self._drifted: dict[tuple[str, str], str] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    def report_drift(self, integration: IntegrationFacts, name: str, capability: CapabilityFacts | None) -> None:
        """Report a tool that is new, or defined otherwise than it was pinned: the latter is held here at once."""
        if capability is not None:
            self._drifted[integration.id, name] = capability.digest
        now = time.monotonic()
        if now - self._reported.get(integration.id, -_SECONDS_BETWEEN) < _SECONDS_BETWEEN:
            return
        self._reported[integration.id] = now
        task = asyncio.get_running_loop().run_in_executor(None, _request_discovery, integration.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def has_drifted(self, integration: IntegrationFacts, capability: CapabilityFacts) -> bool:
        """Tell whether the integration has shown another definition than the one pinned now."""
        pinned = self._drifted.get((integration.id, capability.name))
        return pinned is not None and pinned == capability.digest


def _request_discovery(integration_id: str) -> None:
    from connections.tasks import discover

    try:
        discover.delay(integration_id)
    except Exception:
        logger.warning("the worker could not be asked to look at integration %s again", integration_id, exc_info=True)
