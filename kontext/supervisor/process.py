"""A child and the process that it is at this moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kontext.embedded import launch
from kontext.supervisor.child import Child

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
# A process that ran for this long before it died has earned an immediate restart.
STABLE_AFTER = 30.0
LARGEST_LOG = 10_000_000


class Process:
    """Starts, watches, restarts and ends one child. All times are of the monotonic clock."""

    def __init__(self, child: Child, *, logs: Path, environment: Mapping[str, str]) -> None:
        self.child = child
        self.log = logs / f"{child.name}.log"
        self.is_ready = False
        self.started_at = 0.0
        self.died_at: float | None = None
        self.restart_at: float | None = None
        self._environment = environment
        self._delay = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    def start(self) -> None:
        if self.child.prepare is not None:
            self.child.prepare()
        self.started_at, self.restart_at, self.is_ready = time.monotonic(), None, False
        with open_log(self.log) as log:
            self._popen = subprocess.Popen(
                self._command(),
                cwd=self.child.cwd,
                env={**os.environ, **self._environment, **self.child.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        if self.child.is_launched:
            return list(self.child.argv)
        return launched(self.child.argv, self.child.stop_signal)

    def reap(self) -> int | None:
        """Return the exit code if the process has just ended, after killing what is left of its group."""
        if self._popen is None or not _has_ended(self._popen.pid):
            return None
        # Before its process ID is released, so that the group can't be somebody else's by now.
        _signal_group(self._popen.pid, signal.SIGKILL)
        code = self._popen.wait()
        self._popen, self.is_ready = None, False
        return code

    def schedule_restart(self) -> float:
        """Decide when to start it again; return the delay. The first restart comes at once, then the delays double."""
        now = time.monotonic()
        stable = now - self.started_at > STABLE_AFTER
        delay = 0.0 if stable else self._delay
        self._delay = FIRST_DELAY if delay == 0.0 else min(delay * 2, LONGEST_DELAY)
        self.died_at, self.restart_at = self.died_at or now, now + delay
        return delay

    def check_ready(self) -> bool:
        """Return True when the process has become ready since the last check."""
        if self._popen is None or self.is_ready or not self.child.is_ready():
            return False
        self.is_ready = True
        return True

    def ask_to_stop(self) -> None:
        self.restart_at = None
        if self._popen is not None:
            os.kill(self._popen.pid, self.child.stop_signal)  # not reaped yet, so the process ID is still its own

    def kill(self) -> None:
        if self._popen is not None:
            _signal_group(self._popen.pid, signal.SIGKILL)


def launched(argv: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """Return the command that becomes `argv` and gets this signal when we die."""
    options = [f"--parent={os.getpid()}", f"--signal={int(death_signal)}"]
    return [sys.executable, "-I", "-S", launch.__file__, *options, "--", *argv]


def _has_ended(pid: int) -> bool:
    """Look whether a child has ended without releasing its process ID."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _signal_group(pid: int, signum: signal.Signals) -> None:
    try:
        os.killpg(pid, signum)
    except (ProcessLookupError, PermissionError):
        return


def open_log(path: Path) -> IO[bytes]:
    """Open a log to append to; past its size limit it first becomes `<name>.log.1`."""
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def read_tail(path: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 20_000))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
