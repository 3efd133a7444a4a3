"""Web, gateway and worker: do they answer where others will look for them?"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from kontext.celery import app
from kontext.doctor.findings import Finding, error, ok
from kontext.doctor.servers import find_queue_version
from kontext.supervisor.lock import find_holder
from kontext.supervisor.probes import find_status


def examine_supervisor() -> Iterable[Finding]:
    holder = find_holder(settings.DATA_DIR)
    if holder is not None:
        yield ok("Supervisor", f"`manage.py up` runs on {settings.DATA_DIR} (process {holder.get('pid', 'unknown')})")


def examine_web() -> Iterable[Finding]:
    yield _examine("Web", settings.PUBLIC_URL, "KONTEXT_PUBLIC_URL", "web")


def examine_gateway() -> Iterable[Finding]:
    yield _examine("Gateway", settings.GATEWAY_URL, "KONTEXT_GATEWAY_URL", "gateway")


def _examine(subject: str, url: str, variable: str, log: str) -> Finding:
    if find_status(f"{url}/healthz", timeout=5) == 200:
        return ok(subject, f"answers at {url}")
    fix = "manage.py up"
    if find_holder(settings.DATA_DIR) is not None:
        fix = f"see {settings.DATA_DIR}/logs/{log}.log, and whether {variable} is where it listens"
    return error(subject, f"does not answer at {url}/healthz", fix)


def examine_worker() -> Iterable[Finding]:
    answers = app.control.ping(timeout=2.0, limit=1) if find_queue_version() else []
    if answers:
        yield ok("Worker", f"{next(iter(answers[0]))} takes tasks")
    else:
        yield error("Worker", "none answers: nothing is refreshed, revoked or discovered", "manage.py up")
