"""What travels down the pipeline: one request, and what each stage has found out about it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from gateway.facts import CapabilityFacts, Injection, IntegrationFacts, Principal, Snapshot
from gateway.http import Exchange
from gateway.mcp.eras import Era
from gateway.mcp.messages import Message
from gateway.mcp.methods import Method

if TYPE_CHECKING:
    from policy.engine import Decision


@dataclass(slots=True, kw_only=True)
class Caller:
    """Who asks, and what of. `resource` is the audience the token was checked for."""

    principal: Principal
    snapshot: Snapshot
    integration: IntegrationFacts
    groups: frozenset[str]
    source_address: str | None


@dataclass(slots=True, kw_only=True)
class Call:
    """A message on its way to an integration and back.

    `session` is the sealed identifier the client sent, `upstream_session` what is in it. `capability` and `decision`
    are there for invocations, `injection` from the credential stage on. `has_connect_answer`: the client comes back
    from our own request to connect; `has_approval_answer`: from the one to have the call approved. `approvals` are
    those by which it passes, or that it waits for. `is_recorded` and `is_completed`: which events are written,
    `row`: what they have in common. `started` is of the performance counter.
    """

    exchange: Exchange
    caller: Caller
    message: Message
    era: Era
    method: Method | None
    session: str = ""
    upstream_session: str | None = None
    name: str = ""
    capability: CapabilityFacts | None = None
    decision: Decision | None = None
    injection: Injection | None = None
    id: str = field(default_factory=lambda: str(uuid7()))
    has_connect_answer: bool = False
    has_approval_answer: bool = False
    approvals: tuple[str, ...] = ()
    is_recorded: bool = False
    is_completed: bool = False
    row: bytes = b""
    started: float = field(default_factory=time.perf_counter)

    @property
    def is_invocation(self) -> bool:
        return self.method is not None and self.method.is_invocation

    @property
    def can_ask_for_input(self) -> bool:
        """2026-07-28 lets calls and reads answer with a request for input; once is enough for a connection."""
        return self.era is Era.MODERN and self.is_invocation and not self.has_connect_answer

    @property
    def can_ask_for_approval(self) -> bool:
        return self.era is Era.MODERN and self.is_invocation and not self.has_approval_answer
