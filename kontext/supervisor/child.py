"""What the supervisor needs to know of a process that it starts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Child:
    """A process to keep running. `argv[0]` is an absolute path; `env` is added to the supervisor's own environment."""

    name: str  # also the name of its log file: <data folder>/logs/<name>.log
    argv: tuple[str, ...]
    # True once it does its work (answers HTTP, say). Called repeatedly from the supervisor's loop: it must not block
    # for longer than a second or raise.
    is_ready: Callable[[], bool]
    title: str = ""  # what the display calls it
    url: str = ""  # where it can be reached, for the display
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    # Called before each start: to make folders, or to clean up after a process that was killed.
    prepare: Callable[[], None] | None = None
    start_timeout: float = 120
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10
    # The others need it, so it ends after them.
    stops_last: bool = False
    # Set for a program that already arranges to die with its parent.
    is_launched: bool = False

    @property
    def label(self) -> str:
        return self.title or self.name
