"""Renewed credentials on their way into the database.

A rotating refresh token is spent once the integration has answered: whoever loses that answer has lost the connection.
So it is written to a file in the data folder first, sealed, and the file goes once the database has it. What a process
that died, or that found the database away, left behind is stored by the next sweep on the same machine.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings

from connections.sealing import Document
from orgs.vault import Key, VaultError, decrypt, encrypt

log = logging.getLogger(__name__)
_SUFFIX = ".renewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A renewed credential, and the generation of the one it follows."""

    organization_id: UUID
    connection_id: UUID
    generation: int
    document: Document = field(repr=False)
    scopes: tuple[str, ...] | None
    expires_at: dt.datetime | None


def write_entry(entry: Entry, *, key: Key) -> Path | None:
    """Keep an entry, durably; returns its file. None, with a warning, where the data folder can't be written."""
    plaintext = json.dumps(
        {
            "document": entry.document,
            "scopes": entry.scopes,
            "expires_at": entry.expires_at.isoformat() if entry.expires_at else None,
        }
    ).encode()
    sealed = encrypt(entry.organization_id, plaintext, associated_data=_bind(entry), key=key)
    name = f"{entry.organization_id}.{entry.connection_id}.{entry.generation}.{uuid4().hex}{_SUFFIX}"
    try:
        return _write(_get_folder() / name, sealed)
    except OSError as error:
        log.warning("the journal of renewed credentials can't be written: %s", error.strerror)
        return None


def remove_entry(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def read_entries(*, connection_id: UUID | None = None) -> Iterator[tuple[Path, Entry]]:
    """Yield what was left behind. A file that doesn't open is told of and stays."""
    pattern = f"*.{connection_id or '*'}.*{_SUFFIX}"
    for path in sorted(_get_folder().glob(pattern)):
        try:
            yield path, _read(path)
        except FileNotFoundError:
            continue  # its own process has just stored it
        except (VaultError, ValueError, OSError) as error:
            log.error("%s in the journal of renewed credentials can't be read: %s", path.name, error)


def _get_folder() -> Path:
    return Path(settings.DATA_DIR) / "journal"


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return path


def _read(path: Path) -> Entry:
    organization, connection, generation, _, _ = path.name.split(".")
    bare = Entry(
        organization_id=UUID(organization),
        connection_id=UUID(connection),
        generation=int(generation),
        document={},
        scopes=None,
        expires_at=None,
    )
    content = json.loads(decrypt(bare.organization_id, path.read_bytes(), associated_data=_bind(bare)))
    return Entry(
        organization_id=bare.organization_id,
        connection_id=bare.connection_id,
        generation=bare.generation,
        document=content["document"],
        scopes=tuple(content["scopes"]) if content["scopes"] is not None else None,
        expires_at=dt.datetime.fromisoformat(content["expires_at"]) if content["expires_at"] else None,
    )


def _bind(entry: Entry) -> bytes:
    return f"journal:{entry.connection_id}:{entry.generation}".encode()
