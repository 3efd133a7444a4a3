"""The processes of an installation: the embedded servers, web, gateway and worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from kontext.access_log import CONFIGURATION
from kontext.embedded.server import EmbeddedServer
from kontext.supervisor.child import Child
from kontext.supervisor.installation import Installation
from kontext.supervisor.probes import answers_http

BASE_DIR = Path(__file__).resolve().parent.parent.parent
MANAGE = (sys.executable, str(BASE_DIR / "manage.py"))


def embedded_child(server: EmbeddedServer) -> Child:
    return Child(
        name=server.name.lower(),
        title=server.name,
        argv=tuple(server.command()),
        is_ready=server.is_ready,
        prepare=server.prepare,
        url=str(server.sockets),
        cwd=server.folder,
        stop_signal=server.stop_signal,
        stop_timeout=20,
        stops_last=True,
        is_launched=True,
    )


def web_child(installation: Installation, *, static_root: Path) -> Child:
    local = f"http://{_reachable(installation.host)}:{installation.web_port}"
    # Threads, since a view spends its time waiting for the database.
    options = ("--interface", "wsgi", "--blocking-threads", "16", "--access-log")
    files = ("--static-path-route", "/static", "--static-path-mount", str(static_root))
    return Child(
        name="web",
        title="Web",
        argv=_granian("kontext.wsgi:application", installation.host, installation.web_port, *options, *files),
        is_ready=answers_http(f"{local}/healthz"),
        url=installation.public_url,
        cwd=BASE_DIR,
    )


def gateway_child(installation: Installation) -> Child:
    local = f"http://{_reachable(installation.host)}:{installation.gateway_port}"
    # No access log: it wraps every call in one more coroutine, and the audit trail has the calls.
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--no-ws")
    return Child(
        name="gateway",
        title="Gateway",
        argv=_granian("gateway.app:app", installation.host, installation.gateway_port, *options),
        is_ready=answers_http(f"{local}/healthz"),
        url=f"{installation.gateway_url}/mcp",
        cwd=BASE_DIR,
    )


def worker_child(installation: Installation) -> Child:
    ready_file = installation.data_dir / "worker.ready"
    schedule = str(installation.data_dir / "celerybeat-schedule")
    options = ("--beat", "--schedule", schedule, "--pool", "threads", "--concurrency", "4", "--loglevel", "INFO")
    return Child(
        name="worker",
        title="Worker",
        argv=(sys.executable, "-m", "celery", "-A", "kontext", "worker", *options),
        is_ready=_names_a_living_process(ready_file),
        prepare=lambda: ready_file.unlink(missing_ok=True),
        env={"KONTEXT_READY_FILE": str(ready_file)},
        cwd=BASE_DIR,
    )


def sealer_child(installation: Installation) -> Child:
    ready_file = installation.data_dir / "sealer.ready"
    return Child(
        name="sealer",
        title="Sealer",
        argv=(*MANAGE, "seal"),
        is_ready=_names_a_living_process(ready_file),
        prepare=lambda: ready_file.unlink(missing_ok=True),
        env={"KONTEXT_READY_FILE": str(ready_file)},
        cwd=BASE_DIR,
    )


def _granian(application: str, host: str, port: int, *options: str) -> tuple[str, ...]:
    address = ("--host", host, "--port", str(port))
    upkeep = ("--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "8")
    log = ("--log-config", str(CONFIGURATION))
    return (sys.executable, "-m", "granian", *address, *options, *upkeep, *log, application)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def _names_a_living_process(path: Path) -> Callable[[], bool]:
    """Return a probe of the file in which a process leaves its ID once it does its work."""

    def probe() -> bool:
        try:
            os.kill(int(path.read_text()), 0)
        except (OSError, ValueError):
            return False
        return True

    return probe
