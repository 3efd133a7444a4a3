"""Many processes, random kills, wrong clocks, a misbehaving server: no refresh token is spent twice, none is lost."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from django.db.models import Q
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEvent
from connections.errors import ReauthorizationRequiredError
from connections.models import Connection, Credential, Integration, OAuthClient
from connections.sealing import open_credential
from connections.services.recover_refreshes import recover_refreshes
from connections.services.refresh import get_credential
from connections.services.store_credential import NewCredential, activate_connection
from tests.connections.faults.server import DROP_BEFORE, LATE, LIE, OK, AuthorizationServer
from tests.e2e.live import database_url
from tests.e2e.processes import ROOT
from tests.factories import make_integration, make_member, make_organization

FAULTS = [LATE, "500", "503", "429", LIE, DROP_BEFORE]


@pytest.fixture
def connections(transactional_db: None, settings: Settings) -> tuple[AuthorizationServer, list[Connection]]:
    server = AuthorizationServer()
    server.grants.lifetime, server.grants.pause = 1, 0.2
    acme = make_organization("Acme Corp")
    code = make_integration(acme, "code")
    OAuthClient.objects.create(
        organization=acme,
        integration=code,
        issuer=server.issuer,
        authorization_endpoint=f"{server.issuer}/authorize",
        token_endpoint=f"{server.issuer}/token",
        client_id="kontext",
    )
    return server, [_connect(code, server) for _ in range(24)]


def test_storm_against_a_strict_server_never_spends_a_token_twice(
    connections: tuple[AuthorizationServer, list[Connection]],
) -> None:
    """An answer on its way to a process that is killed can't be had again here; nothing else may be lost."""
    outcome = _ride_out(*connections, refreshes=100)
    assert outcome["ended though we held its token"] == 0
    assert outcome["alive"] > 0


@pytest.mark.slow
def test_storm_against_a_lenient_server_loses_nothing(
    connections: tuple[AuthorizationServer, list[Connection]],
) -> None:
    """A lost answer is asked for again, and only after its owner was found dead or cut off."""
    server, rows = connections
    server.grants.is_lenient = True
    outcome = _ride_out(server, rows, refreshes=int(os.environ.get("STORM_REFRESHES", "10000")))
    assert outcome == {"alive": len(rows)}
    failures = AuditEvent.objects.filter(type="connection.failed")
    explained = failures.filter(Q(details__cause="refresh interrupted") | Q(details__cause__contains="in time"))
    assert sum(family.repeats for family in server.grants.families.values()) <= explained.count()


def _ride_out(server: AuthorizationServer, rows: list[Connection], *, refreshes: int) -> Counter[str]:
    begun = time.monotonic()
    killed = _rage(server, rows, refreshes)
    seconds = time.monotonic() - begun
    _calm_down(server)
    outcome = Counter(_check(server, row) for row in rows)
    interrupted = AuditEvent.objects.filter(details__cause="refresh interrupted").count()
    repeats = sum(family.repeats for family in server.grants.families.values())
    print(
        f"{server.exchanges} refreshes in {seconds:.0f} s, {killed} processes killed, {interrupted} refreshes found "
        f"interrupted, {repeats} asked for again: {dict(outcome)}"
    )
    assert killed > 0
    return outcome


def _connect(code: Integration, server: AuthorizationServer) -> Connection:
    tokens = server.grants.issue()
    document = {name: tokens[name] for name in ("access_token", "refresh_token")}
    new = NewCredential(document=document, issuer=server.issuer, expires_at=timezone.now() + dt.timedelta(seconds=1))
    return activate_connection(integration=code, user=make_member(code.organization), new=new)


def _rage(server: AuthorizationServer, rows: list[Connection], refreshes: int) -> int:
    from django.db import connection as database

    process = subprocess.Popen(
        [sys.executable, "-m", "tests.connections.faults.storm", "4", *(str(row.pk) for row in rows)],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(str(database.settings_dict["NAME"])),
            "KONTEXT_LOG_LEVEL": "ERROR",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    deadline = time.monotonic() + 120 + refreshes  # slow machines, too
    while server.exchanges < refreshes and time.monotonic() < deadline:
        if not server.grants.faults:
            server.grants.faults.extend([OK] * random.randrange(8) + [random.choice(FAULTS)])
        time.sleep(0.02)
    output, _ = process.communicate("stop\n", timeout=60)
    assert server.exchanges >= refreshes
    return int(output)


def _calm_down(server: AuthorizationServer) -> None:
    server.grants.faults.clear()
    server.grants.lifetime = 3600
    recover_refreshes()
    past = timezone.now() - dt.timedelta(seconds=1)
    Connection.objects.update(refresh_deadline=past, refresh_retry_at=past, expires_at=past)


def _check(server: AuthorizationServer, row: Connection) -> str:
    """Tell what became of a connection, by both sides' word."""
    try:
        credential = get_credential(connection_id=row.pk, deadline=time.monotonic() + 10)
    except ReauthorizationRequiredError:
        held = open_credential(Credential.objects.get(connection=row))["refresh_token"]
        family = server.grants.families[server.grants.owners[held]]
        return "ended though we held its token" if family.current == held else "answer went to a dead process"
    family = server.grants.families[server.grants.access[credential.headers["Authorization"].removeprefix("Bearer ")]]
    return "alive" if family.is_alive else "ended though we held its token"
