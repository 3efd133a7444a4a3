"""What one gateway process holds, made once and handed to the stages of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config import Config
from gateway.mcp.envelopes import Envelopes
from gateway.notices import Notices
from gateway.runtime import Runtime
from gateway.upstream import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    config: Config
    runtime: Runtime
    upstream: Upstream
    envelopes: Envelopes
    notices: Notices
