"""One supervisor a data folder: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "up.lock"


class AlreadyRunningError(Exception):
    """Another `up` runs on this data folder. `holder` is what it wrote down: its process ID and addresses."""

    def __init__(self, data_dir: Path, holder: Mapping[str, object]) -> None:
        super().__init__(f"Kontext is already running on {data_dir}")
        self.holder = holder


class FolderLock:
    """Held as long as the file is open. Children don't inherit it: they may outlive us by a moment."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.write_down({})

    def write_down(self, facts: Mapping[str, object]) -> None:
        """Say to the next one who comes where we can be found."""
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)


@contextmanager
def lock_folder(data_dir: Path) -> Iterator[FolderLock]:
    """Hold the data folder. Raises AlreadyRunningError while somebody else does."""
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(descriptor):
            raise AlreadyRunningError(data_dir, _read(descriptor))
        yield FolderLock(descriptor)
    finally:
        os.close(descriptor)


def find_holder(data_dir: Path) -> Mapping[str, object] | None:
    """Return what the running supervisor of this folder wrote down, or None where none runs."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _take(descriptor) else _read(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Mapping[str, object]:
    try:
        found = json.loads(os.pread(descriptor, 10_000, 0))
    except ValueError:  # written this very moment
        return {}
    return found if isinstance(found, dict) else {}
