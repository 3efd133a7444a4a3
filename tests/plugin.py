"""Give the test session servers of its own, before Django reads its settings (loaded early by `addopts = -p`).

Every session has a data folder of its own in the system's temporary folder, so worktrees don't collide. The servers
are children of this process and die with it, also when it is killed; the next session removes what that left behind.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import caches

from kontext.embedded.postgres import PostgresOptions, PostgresServer
from kontext.embedded.valkey import ValkeyServer

PREFIX = f"kontext-tests-{os.getuid()}-"
MARK = "KONTEXT_TESTS_FOLDER"  # says to pytest-xdist's workers that their controller has prepared everything


def _prepare_session() -> None:
    if MARK in os.environ:
        return
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o711)
    lock = os.open(folder / "session.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    _set_environment(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not os.environ.get("DATABASE_URL"):
        _start_postgres(folder)


def _set_environment(folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("KONTEXT_")]:
        del os.environ[name]
    os.environ[MARK] = str(folder)
    os.environ["KONTEXT_DATA_DIR"] = str(folder)
    os.environ["KONTEXT_SECRET_KEY"] = "for-tests-alone-" + os.urandom(24).hex()
    os.environ["KONTEXT_ALLOW_PRIVATE_NETWORKS"] = "true"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's synchronous API runs an event loop


def _start_postgres(folder: Path) -> None:
    server = PostgresServer(folder, PostgresOptions(durable=False))
    with folder.joinpath("postgres.log").open("wb") as log:
        server.start(log=log)
    atexit.register(server.stop)


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if time.time() - folder.stat().st_mtime > 60 and not _is_locked(folder / "session.lock"):
            shutil.rmtree(folder, ignore_errors=True)


def _is_locked(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


_prepare_session()


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a Valkey of this session, where settings.REDIS_URL then points (or the one that is configured)."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    # One for each of pytest-xdist's workers: they empty it between tests, and count failures in it.
    server = ValkeyServer(Path(os.environ["KONTEXT_DATA_DIR"]) / os.environ.get("PYTEST_XDIST_WORKER", ""))
    server.start(log=subprocess.DEVNULL)
    before = settings.REDIS_URL
    _point_to(server.url)
    yield server.url
    _point_to(before)
    server.stop()


def _point_to(url: str) -> None:
    settings.REDIS_URL = settings.CACHES["default"]["LOCATION"] = url
    with contextlib.suppress(AttributeError):
        del caches["default"]
