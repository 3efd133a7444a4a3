"""Where the embedded servers listen: Unix sockets in the data folder. Pure functions, so settings can import them."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from urllib.parse import quote

DATABASE_NAME = "kontext"
DATABASE_USER = "kontext"
# sockaddr_un.sun_path holds 108 bytes on Linux; ".s.PGSQL.5432" and the separator need 14 of them.
LONGEST_SOCKET_FOLDER = 90


def socket_folder(data_dir: Path) -> Path:
    """Return the folder of both Unix sockets: in the data folder, or a short one where its path is too long."""
    folder = data_dir / "run"
    if len(str(folder).encode()) <= LONGEST_SOCKET_FOLDER:
        return folder
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"kontext-{digest}"


def embedded_database_url(data_dir: Path) -> str:
    return f"postgresql://{DATABASE_USER}@{quote(str(socket_folder(data_dir)), safe='')}/{DATABASE_NAME}"


def embedded_redis_url(data_dir: Path) -> str:
    return f"unix://{socket_folder(data_dir) / 'valkey.sock'}"


def celery_broker_url(redis_url: str) -> str:
    """Return the URL as Celery writes it: a Unix socket is `redis+socket://` there."""
    return f"redis+socket://{redis_url.removeprefix('unix://')}" if redis_url.startswith("unix://") else redis_url
