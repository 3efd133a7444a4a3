"""The loop that starts children side by side, restarts the dead and stops all of them in order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from kontext.supervisor.child import Child
from kontext.supervisor.events import Event, Happening, Tell
from kontext.supervisor.process import Process, launched, open_log, read_tail

PROBE_INTERVAL = 0.05
IDLE_INTERVAL = 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequestedError(Exception):
    """The operator, or the system, asked to stop."""


class ChildFailedError(Exception):
    """A child ended, or did not answer, while it was being started for the first time."""

    def __init__(self, label: str, reason: str, log: Path) -> None:
        super().__init__(f"{label} {reason}; its log is {log}")
        self.log_tail = read_tail(log)


class Supervisor:
    """Runs in the main thread, which must live as long as the children: they are bound to its life by the kernel.

    Signals only wake the loop up, through a pipe; what they mean is decided in the loop.
    """

    def __init__(self, *, logs: Path, environment: Mapping[str, str], tell: Tell) -> None:
        self.processes: list[Process] = []
        self._logs = logs
        self._environment = environment
        self._tell = tell
        self._steps: set[int] = set()
        self._stop_requests = 0

    def __enter__(self) -> Supervisor:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._wake_up, wake_up_end = os.pipe()
        for end in (self._wake_up, wake_up_end):
            os.set_blocking(end, False)
        self._former_wake_up = signal.set_wakeup_fd(wake_up_end, warn_on_full_buffer=False)
        self._former = {signum: signal.signal(signum, self._note_stop_request) for signum in STOP_SIGNALS}
        self._former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for signum, handler in self._former.items():
            signal.signal(signum, handler)
        os.close(signal.set_wakeup_fd(self._former_wake_up))
        os.close(self._wake_up)

    def _note_stop_request(self, signum: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def start(self, *children: Child) -> None:
        """Start children side by side and return once each is ready, while the others are being watched."""
        starting: list[Process] = []
        try:
            for child in children:
                self._tell(Event(Happening.STARTING, child.name, child.label))
                starting.append(Process(child, logs=self._logs, environment=self._environment))
                starting[-1].start()
            self._wait_for_first_answers(starting)
        finally:
            self.processes.extend(starting)

    def _wait_for_first_answers(self, starting: Sequence[Process]) -> None:
        while waiting := [process for process in starting if not process.is_ready]:
            for process in waiting:
                if process.check_ready():
                    self._tell_ready(process, since=process.started_at)
                else:
                    _check_still_starting(process)
            self._turn(PROBE_INTERVAL)

    def run(self, name: str, label: str, argv: Sequence[str], *, cwd: Path) -> str:
        """Run a command to its end and return what it printed; its errors go to a log.

        Raises ChildFailedError when it fails.
        """
        self._tell(Event(Happening.STARTING, name, label))
        started, log_path = time.monotonic(), self._logs / f"{name}.log"
        with open_log(log_path) as log, tempfile.TemporaryFile() as printed:
            code = self._run_to_end(argv, cwd=cwd, stdout=printed.fileno(), stderr=log.fileno())
            printed.seek(0)
            output = printed.read().decode(errors="replace")
        if code != 0:
            raise ChildFailedError(label, f"failed with exit code {code}", log_path)
        self._tell(Event(Happening.DONE, name, label, seconds=time.monotonic() - started))
        return output

    def run_in_front(self, argv: Sequence[str], *, cwd: Path) -> int:
        """Run a command to its end with its output on our own, and return its exit code."""
        return self._run_to_end(argv, cwd=cwd, stdout=None, stderr=None)

    def _run_to_end(self, argv: Sequence[str], *, cwd: Path, stdout: int | None, stderr: int | None) -> int:
        step = subprocess.Popen(
            launched(argv, signal.SIGTERM),
            cwd=cwd,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
        )
        self._steps.add(step.pid)
        try:
            while step.poll() is None:
                self._turn(IDLE_INTERVAL)
        finally:
            _end(step)
            self._steps.discard(step.pid)
        return step.returncode

    def serve_forever(self) -> None:
        """Watch and restart until asked to stop."""
        with contextlib.suppress(StopRequestedError):
            while True:
                self._turn(IDLE_INTERVAL)

    def _turn(self, timeout: float) -> None:
        self._sleep(self._shorten(timeout))
        if self._stop_requests:
            raise StopRequestedError
        for process in self.processes:
            self._look_after(process)
        self._reap_strangers()

    def _shorten(self, timeout: float) -> float:
        """Wake up for the next restart that is due and for each probe of a child that is coming back."""
        now = time.monotonic()
        due = [process.restart_at - now for process in self.processes if process.restart_at is not None]
        probing = any(process.pid is not None and not process.is_ready for process in self.processes)
        return max(0.0, min([timeout, *due, PROBE_INTERVAL if probing else timeout]))

    def _sleep(self, timeout: float) -> None:
        select.select([self._wake_up], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_up, 512):
                pass

    def _look_after(self, process: Process) -> None:
        if (code := process.reap()) is not None:
            self._tell_died(process, code)
        if process.restart_at is not None and time.monotonic() >= process.restart_at:
            self._restart(process)
        if process.check_ready():
            self._tell_ready(process, since=process.died_at or process.started_at)
            process.died_at = None

    def _restart(self, process: Process) -> None:
        try:
            process.start()
        except Exception as error:  # whatever is wrong with one child, the others are still to be watched
            delay = process.schedule_restart() or 1.0
            process.restart_at = time.monotonic() + delay
            self._tell(self._event(Happening.FAILED, process, detail=str(error)))
        else:
            self._tell(self._event(Happening.RESTARTING, process))

    def _tell_died(self, process: Process, code: int) -> None:
        delay = process.schedule_restart()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        soon = f", restart in {delay:.1f} s" if delay else ""
        self._tell(self._event(Happening.DIED, process, detail=how + soon))

    def _tell_ready(self, process: Process, *, since: float) -> None:
        seconds = time.monotonic() - since
        self._tell(self._event(Happening.READY, process, seconds=seconds, detail=process.child.url))

    def _event(self, happening: Happening, process: Process, *, seconds: float = 0.0, detail: str = "") -> Event:
        child = process.child
        return Event(happening, child.name, child.label, pid=process.pid, seconds=seconds, detail=detail)

    def _reap_strangers(self) -> None:
        """Release children's orphans, which become ours when this is the first process of a container."""
        known = {process.pid for process in self.processes} | self._steps
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in known or os.getpid() != 1:
                    return
                os.waitpid(found.si_pid, 0)

    def stop(self) -> None:
        """Stop everything, the servers that the others need last. Another Ctrl-C kills at once."""
        self._stop_requests = 0
        self._stop_together([process for process in self.processes if not process.child.stops_last])
        for process in reversed([process for process in self.processes if process.child.stops_last]):
            self._stop_together([process])
        self.processes = []

    def _stop_together(self, processes: list[Process]) -> None:
        waiting = [process for process in processes if process.pid is not None]
        for process in waiting:
            self._tell(self._event(Happening.STOPPING, process))
            process.ask_to_stop()
        started = time.monotonic()
        while waiting:
            for process in waiting:
                if self._stop_requests or time.monotonic() - started > process.child.stop_timeout:
                    process.kill()
            waiting = [process for process in waiting if not self._has_stopped(process, started)]
            if waiting:
                self._sleep(PROBE_INTERVAL)

    def _has_stopped(self, process: Process, started: float) -> bool:
        pid = process.pid
        if process.reap() is None:
            return False
        child = process.child
        self._tell(Event(Happening.STOPPED, child.name, child.label, pid=pid, seconds=time.monotonic() - started))
        return True


def _check_still_starting(process: Process) -> None:
    child = process.child
    if (code := process.reap()) is not None:
        raise ChildFailedError(child.label, f"ended with exit code {code} while starting", process.log)
    if time.monotonic() > process.started_at + child.start_timeout:
        raise ChildFailedError(child.label, f"gave no answer for {child.start_timeout:.0f} seconds", process.log)


def _end(step: subprocess.Popen[bytes]) -> None:
    if step.poll() is None:
        step.terminate()
        try:
            step.wait(5)
        except subprocess.TimeoutExpired:
            step.kill()
            step.wait()
