"""What the embedded PostgreSQL and Valkey have in common: folders, a process that is our child, its end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO

from kontext.embedded.addresses import socket_folder
from kontext.embedded.errors import EmbeddedServerError
from kontext.embedded.identity import Identity, choose_identity, make_private_folder

POLL_INTERVAL = 0.02


class EmbeddedServer(ABC):
    """One server with its own folder in the data folder, on a Unix socket, run as our child.

    `start` must be called by a thread that lives as long as the server should: the kernel's death signal
    (PR_SET_PDEATHSIG) follows the thread, not the process.
    """

    name: str
    stop_signal: signal.Signals
    # What the kernel sends it when we die without having stopped it.
    death_signal: signal.Signals

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.sockets = socket_folder(self.data_dir)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where it keeps its files; also its working folder, by which its orphans are known."""

    @property
    @abstractmethod
    def program(self) -> Path: ...

    @abstractmethod
    def arguments(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    @property
    def identity(self) -> Identity:
        return choose_identity(data_dir=self.data_dir, program=self.program)

    def prepare(self) -> None:
        """Make the folders, and end whatever a predecessor that was killed has left running."""
        make_data_folder(self.data_dir)
        make_private_folder(self.sockets, self.identity)
        make_private_folder(self.folder, self.identity)
        kill_processes_in(self.folder)

    def command(self) -> list[str]:
        """Return the command for this very process as the parent."""
        return self.identity.command(
            [str(self.program), *self.arguments()], dies_with=os.getpid(), death_signal=self.death_signal
        )

    def start(self, *, log: IO[bytes] | int = subprocess.DEVNULL, timeout: float = 30) -> None:
        """Start it and wait until it answers."""
        self.prepare()
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.wait_until_ready(timeout=timeout)

    def wait_until_ready(self, *, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if self.process is not None and self.process.poll() is not None:
                raise EmbeddedServerError(f"{self.name} ended with exit code {self.process.returncode} while starting")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.name} did not answer within {timeout:.0f} seconds")
            time.sleep(POLL_INTERVAL)

    def stop(self, *, timeout: float = 10) -> None:
        """Stop it in order; kill it, and its orphans, when that takes too long."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        kill_processes_in(self.folder)
        self.process = None


def package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(f"the package {name} is not installed: run `uv sync`")
    return Path(spec.origin).parent


def make_data_folder(data_dir: Path) -> None:
    """Make the data folder: others may pass through it (the servers' user must) but not look around."""
    data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)


def kill_processes_in(folder: Path, *, timeout: float = 5) -> None:
    """Kill every process that works in this folder and wait until it is gone.

    PostgreSQL's processes each have a session of their own, so there is no group to signal; but all of them, and only
    they, have the data folder as working folder. A new postmaster refuses to start while one of them is left.
    """
    deadline = time.monotonic() + timeout
    while processes := _processes_in(folder):
        for pid in processes:
            _kill(pid)
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"processes {processes} still use {folder}: end them by hand")
        time.sleep(POLL_INTERVAL)


def _processes_in(folder: Path) -> list[int]:
    proc = Path("/proc")
    if not proc.is_dir() or not folder.exists():
        return []
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit() and _works_in(entry, str(folder))]


def _works_in(entry: Path, folder: str) -> bool:
    try:
        return os.readlink(entry / "cwd") == folder and entry.name != str(os.getpid())
    except OSError:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
