"""Background work: nothing is lost with the broker, and each task may run twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from kombu.exceptions import OperationalError

from connections.models import Capability, Connection, Integration, Revocation
from connections.services.revoke import revoke_connection
from connections.tasks import confirm_revocations, discover, discover_pending, refresh_expiring
from kontext.celery import app
from tests.connections.journey import connect
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_connection


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that were given to a broker which is away."""
    names: list[str] = []

    def refuse(task: Any, *_: Any, **__: Any) -> None:
        names.append(task.name)
        raise OperationalError("connection refused")

    monkeypatch.setattr("celery.app.task.Task.apply_async", refuse)
    return names


@pytest.mark.django_db(transaction=True)
def test_lost_broker_loses_nothing(cast: Cast, integration: Integration, github: GitHub, queued: list[str]) -> None:
    """Connecting and disconnecting go on without Celery's broker; the sweeps find what was to be done."""
    connection = connect(cast.alice, integration)
    assert not integration.capabilities.exists()
    discover_pending()
    assert integration.capabilities.count() == 4
    discover_pending()
    assert Capability.objects.filter(integration=integration).count() == 4

    revoke_connection(connection=connection, reason="disconnected")
    connection.refresh_from_db()
    assert (connection.status, connection.revocation) == ("revoked", "pending")
    for _ in range(2):
        confirm_revocations()
    assert Revocation.objects.get().status == "revoked"
    assert github.tokens() == {"access": [], "refresh": []}
    assert queued == ["connections.discover", "connections.confirm_revocations"]


def test_every_task_is_swept_by_the_clock() -> None:
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {
        "connections.refresh_expiring",
        "connections.confirm_revocations",
        "connections.discover_pending",
        "connections.forget_sessions",
    } <= scheduled
    app.loader.import_default_modules()
    assert scheduled <= set(app.tasks)


def test_tasks_with_nothing_to_do_do_nothing(cast: Cast) -> None:
    make_connection(cast.github, cast.alice)
    before = list(Connection.objects.values())
    for task in (refresh_expiring, confirm_revocations, discover_pending):
        task()
    discover("00000000-0000-7000-8000-000000000000")
    discover(str(cast.globex_github.pk))
    assert list(Connection.objects.values()) == before
    assert not Revocation.objects.exists()
