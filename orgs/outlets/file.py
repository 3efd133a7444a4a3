"""OCSF appended to a file, one JSON object a line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from orgs.outlets.base import Batch, UnreachableError


@dataclass(frozen=True)
class FileOutlet:
    path: Path
    name: str = "file"

    def send(self, batch: Batch) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.write(_end_torn_line(file) + batch.to_lines())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UnreachableError(f"{self.path} can't be written: {error.strerror}") from None


def from_settings() -> FileOutlet | None:
    return FileOutlet(Path(settings.EVENT_STREAM_FILE)) if settings.EVENT_STREAM_FILE else None


def _end_torn_line(file: BinaryIO) -> bytes:
    """Return what keeps the next line apart from one that a crash, or a full disk, has cut off."""
    if not file.tell():
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"
