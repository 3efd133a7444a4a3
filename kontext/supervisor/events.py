"""What the supervisor tells whoever shows it: a terminal, a log, a program."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Happening(enum.StrEnum):
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"
    DIED = "died"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Event:
    """`seconds` is the time since the start of what happened; for READY after DIED, the length of the outage."""

    happening: Happening
    name: str
    label: str
    pid: int | None = None
    seconds: float = 0.0
    detail: str = ""


Tell = Callable[[Event], None]
