"""The gateway's own application with one difference: rules see the time that a request's X-Test-Now says.

For decision tables whose rows are about times of day; everything else, tokens too, goes by the real clock.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from gateway.app import Application
from gateway.pipeline import decide

_now: ContextVar[float | None] = ContextVar("now", default=None)


class _Clock:
    @staticmethod
    def time() -> float:
        now = _now.get()
        return time.time() if now is None else now


class ClockedApplication(Application):
    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        given = scope.headers.get("x-test-now")
        _now.set(None if given is None else float(given))
        await super().__rsgi__(scope, protocol)


decide.time = _Clock  # type: ignore[attr-defined,assignment]
app = ClockedApplication()
