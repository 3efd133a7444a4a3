"""One refresh at a time, and no answer lost (DESIGN 5; THREATS 22 to 24; PEERS 1, 2, 3 and 7)."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEvent
from connections.errors import CredentialUnavailableError, ReauthorizationRequiredError
from connections.models import Connection, Credential, Integration, OAuthClient
from connections.sealing import open_credential, seal_client_secret
from connections.services import refresh_fence
from connections.services.confirm_revocations import confirm_revocation
from connections.services.recover_refreshes import recover_refreshes
from connections.services.refresh import UsableCredential, get_credential
from connections.services.revoke import revoke_connection
from connections.services.set_oauth_client import set_oauth_client
from connections.services.store_credential import NewCredential, activate_connection, store_credential
from connections.tasks import refresh_expiring
from orgs.models import User
from orgs.services.suspend_person import suspend_membership
from tests.connections.faults.processes import Worker, run_all
from tests.connections.faults.server import DROP_AFTER, DROP_BEFORE, LATE, LIE, AuthorizationServer
from tests.factories import Cast, make_cast, make_integration

pytestmark = pytest.mark.django_db(transaction=True)

Connect = Callable[..., Connection]


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    server = AuthorizationServer()
    yield server
    server.close()


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def integration(cast: Cast, server: AuthorizationServer) -> Integration:
    made = make_integration(cast.acme, "code")
    client = OAuthClient(
        organization=cast.acme,
        integration=made,
        issuer=server.issuer,
        authorization_endpoint=f"{server.issuer}/authorize",
        token_endpoint=f"{server.issuer}/token",
        revocation_endpoint=f"{server.issuer}/revoke",
        client_id="kontext",
        token_endpoint_auth_method="client_secret_post",
    )
    seal_client_secret(client, "s3cret")
    client.save()
    return made


@pytest.fixture
def connect(cast: Cast, integration: Integration, server: AuthorizationServer) -> Connect:
    """Return what connects a person; the token ends in `seconds`."""

    def connected(user: User | None = None, *, seconds: float = 3600, **changes: Any) -> Connection:
        tokens = server.grants.issue()
        document = {"access_token": tokens["access_token"], "refresh_token": tokens["refresh_token"]}
        document |= {"client_id": "kontext", "client_secret": "s3cret", "auth_method": "client_secret_post"}
        new = NewCredential(
            document={name: value for name, value in {**document, **changes}.items() if value},
            account="alice",
            scopes=("repo",),
            issuer=server.issuer,
            expires_at=timezone.now() + dt.timedelta(seconds=3600),
        )
        connection = activate_connection(integration=integration, user=user or cast.alice, new=new)
        end = timezone.now() + dt.timedelta(seconds=seconds)
        Connection.objects.filter(pk=connection.pk).update(expires_at=end)
        issued = end - dt.timedelta(seconds=3600)
        Credential.objects.filter(connection=connection).update(updated_at=issued, expires_at=end)
        connection.refresh_from_db()
        return connection

    return connected


def get(connection: Connection, *, wait: float = 10, **options: Any) -> UsableCredential:
    return get_credential(connection_id=connection.pk, deadline=time.monotonic() + wait, **options)


def get_bearer(credential: UsableCredential) -> str:
    return credential.headers["Authorization"].removeprefix("Bearer ")


def find_failures(connection: Connection) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(type="connection.failed", connection_id=connection.pk).order_by("id"))


def test_good_credential_is_opened_without_asking(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect()
    credential = get(connection)
    assert get_bearer(credential) in server.grants.access
    assert (credential.generation, credential.account) == (1, "alice")
    assert "access-" not in repr(credential)
    assert server.grants.requests == []


def test_many_processes_at_expiry_make_one_exchange(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.extend([LATE])

    results = run_all([Worker(connection, threads=8) for _ in range(3)])

    assert len(results) == 24
    assert {(result.get("generation"), result.get("error")) for result in results} == {(2, None)}
    assert len({result["digest"] for result in results}) == 1
    assert server.exchanges == 1
    assert all(family.is_alive for family in server.grants.families.values())
    assert AuditEvent.objects.filter(type="connection.refreshed").count() == 1


def test_refused_generation_is_renewed_once_for_all(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect()
    results = run_all([Worker(connection, threads=8, bad=1) for _ in range(2)])
    assert {result.get("generation") for result in results} == {2}
    assert server.exchanges == 1
    # Who comes late with the old number gets the new credential, and no further exchange.
    assert get(connection, known_bad_generation=1).generation == 2
    assert server.exchanges == 1


def test_short_lived_tokens_are_not_renewed_by_every_caller(connect: Connect, server: AuthorizationServer) -> None:
    server.grants.lifetime = 20
    connection = connect(seconds=-1)
    results = run_all([Worker(connection, threads=8, min_seconds=300)])
    assert {result.get("generation") for result in results} == {2}
    assert get(connection, min_seconds=300).generation == 2
    assert server.exchanges == 1


def test_refresh_stores_rotated_token_scopes_and_event(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=-1)
    credential = get(connection)
    connection.refresh_from_db()
    assert (connection.generation, connection.status, connection.scopes) == (2, "active", ["repo"])
    assert connection.last_refreshed_at is not None
    assert (connection.refresh_owner, connection.refresh_deadline, connection.refresh_failures) == (None, None, 0)
    stored = Credential.objects.get(connection=connection)
    (family,) = server.grants.families.values()
    assert open_credential(stored)["refresh_token"] == family.current
    assert open_credential(stored)["access_token"] == get_bearer(credential)
    event = AuditEvent.objects.get(type="connection.refreshed")
    assert event.details["generation"] == 2
    assert "access-" not in str(event.details)
    assert server.grants.requests[0]["client_secret"] == "s3cret"


def test_invalid_grant_asks_the_person_and_nobody_else_again(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append("invalid_grant")

    for _ in range(3):
        with pytest.raises(ReauthorizationRequiredError):
            get(connection)

    connection.refresh_from_db()
    assert connection.status == "reauthorization_required"
    assert len(server.grants.requests) == 1
    (event,) = find_failures(connection)
    assert (event.details["provider_error"], event.details["former"]) == ("invalid_grant", "active")


@pytest.mark.parametrize("fault", ["500", "503", "429", "408", LIE, DROP_BEFORE, "invalid_client"])
def test_failure_while_the_token_is_good_fails_nobody(
    connect: Connect, server: AuthorizationServer, fault: str
) -> None:
    connection = connect(seconds=20)
    before = open_credential(Credential.objects.get(connection=connection))
    server.grants.faults.append(fault)

    credential = get(connection)

    assert get_bearer(credential) == before["access_token"]
    connection.refresh_from_db()
    assert (connection.status, connection.generation, connection.refresh_failures) == ("active", 1, 1)
    assert connection.refresh_owner is None
    assert open_credential(Credential.objects.get(connection=connection)) == before


@pytest.mark.parametrize("fault", ["500", "429", LIE, DROP_BEFORE])
def test_transient_failure_at_expiry_changes_nothing_and_backs_off(
    connect: Connect, server: AuthorizationServer, fault: str
) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append(fault)

    for _ in range(3):
        with pytest.raises(CredentialUnavailableError):
            get(connection, wait=0.2)

    connection.refresh_from_db()
    assert (connection.status, connection.generation) == ("active", 1)
    assert len(server.grants.requests) == 1
    assert len(find_failures(connection)) == 1

    Connection.objects.update(refresh_retry_at=timezone.now() - dt.timedelta(seconds=1))
    assert get(connection).generation == 2
    connection.refresh_from_db()
    assert (connection.refresh_failures, connection.error) == (0, "")


def test_refused_client_is_an_error_until_it_is_mended(
    connect: Connect, server: AuthorizationServer, integration: Integration
) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append("invalid_client")
    with pytest.raises(CredentialUnavailableError, match="invalid_client"):
        get(connection)
    connection.refresh_from_db()
    assert connection.status == "error"

    set_oauth_client(integration=integration, client_id="kontext", client_secret="n3w")
    Connection.objects.update(refresh_retry_at=timezone.now() - dt.timedelta(seconds=1))
    refresh_expiring()

    connection.refresh_from_db()
    assert (connection.status, connection.generation) == ("active", 2)
    assert server.grants.requests[-1]["client_secret"] == "n3w"


def test_connection_of_a_former_client_goes_on_with_that_one(
    connect: Connect, server: AuthorizationServer, integration: Integration
) -> None:
    connection = connect(seconds=-1)
    set_oauth_client(integration=integration, client_id="another", client_secret="other")
    assert get(connection).generation == 2
    request = server.grants.requests[0]
    assert (request["client_id"], request["client_secret"]) == ("kontext", "s3cret")


def test_other_issuer_never_gets_the_refresh_token(
    connect: Connect, server: AuthorizationServer, integration: Integration
) -> None:
    connection = connect(seconds=-1)
    other = AuthorizationServer()
    OAuthClient.objects.filter(integration=integration).update(
        issuer=other.issuer, token_endpoint=f"{other.issuer}/token"
    )
    with pytest.raises(ReauthorizationRequiredError):
        get(connection)
    other.close()
    assert other.grants.requests == []
    connection.refresh_from_db()
    assert connection.status == "reauthorization_required"


def test_without_refresh_token_it_serves_until_it_ends(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=10, refresh_token="")
    assert get(connection).generation == 1
    Connection.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    with pytest.raises(ReauthorizationRequiredError):
        get(connection)
    connection.refresh_from_db()
    assert connection.status == "reauthorization_required"
    assert server.grants.requests == []


def test_refused_key_asks_for_another_one(cast: Cast) -> None:
    desk = make_integration(cast.acme, "desk", auth_mode="user_token", key_header="X-Key", key_template="{token}")
    connection = activate_connection(integration=desk, user=cast.alice, new=NewCredential(document={"key": "k"}))
    assert get(connection).headers == {"X-Key": "k"}
    with pytest.raises(ReauthorizationRequiredError):
        get(connection, known_bad_generation=1)
    (event,) = find_failures(connection)
    assert event.details["cause"] == "the integration refused the key"


def test_killed_process_is_noticed_and_its_fence_passes(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append(LATE)
    server.grants.pause = 30
    worker = Worker(connection)
    worker.go()
    server.wait_for_request()
    worker.kill()
    connection.refresh_from_db()
    assert connection.refresh_owner is not None
    with pytest.raises(CredentialUnavailableError, match="being renewed"):
        get(connection, wait=0.3)
    assert len(server.grants.requests) == 1

    Connection.objects.update(refresh_deadline=timezone.now() - dt.timedelta(seconds=1))

    assert get(connection).generation == 2
    (event,) = find_failures(connection)
    assert event.details["cause"] == "refresh interrupted"


def test_lost_answer_is_reported_as_what_it_is(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append(DROP_AFTER)
    with pytest.raises(CredentialUnavailableError):
        get(connection)
    Connection.objects.update(refresh_retry_at=None)
    with pytest.raises(ReauthorizationRequiredError):
        get(connection)
    transient, final = find_failures(connection)
    assert transient.details["status"] == "active"
    assert (final.details["status"], final.details["provider_error"]) == ("reauthorization_required", "invalid_grant")


@pytest.fixture
def broken_store(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let storing fail as it does when the database is away; call what comes back to mend it."""
    real, state = refresh_fence.settle_entry, {"is_broken": True}

    def settle(entry: Any) -> bool:
        if state["is_broken"]:
            raise DatabaseError
        return real(entry)

    monkeypatch.setattr(refresh_fence, "settle_entry", settle)
    monkeypatch.setattr(refresh_fence, "FENCE_SECONDS", 1)
    monkeypatch.setattr(refresh_fence, "_STORE_AGAIN_SECONDS", 0.05)
    return lambda: state.update(is_broken=False)


@pytest.mark.parametrize("who", ["sweep", "next caller"])
def test_answer_that_was_not_stored_is_recovered(
    connect: Connect,
    server: AuthorizationServer,
    broken_store: Callable[[], None],
    settings: Settings,
    tmp_path: Path,
    who: str,
) -> None:
    settings.DATA_DIR = tmp_path
    connection = connect(seconds=-1)
    with pytest.raises(CredentialUnavailableError, match="could not be stored"):
        get(connection)
    (left,) = (tmp_path / "journal").iterdir()
    assert left.stat().st_mode & 0o077 == 0
    assert not any(token.encode() in left.read_bytes() for token in [*server.grants.access, *server.grants.owners])

    broken_store()
    Connection.objects.update(refresh_deadline=timezone.now() - dt.timedelta(seconds=1))
    if who == "sweep":
        assert recover_refreshes() == 1
    credential = get(connection)

    assert credential.generation == 2
    assert server.exchanges == 1
    assert list((tmp_path / "journal").iterdir()) == []
    assert recover_refreshes() == 0


def test_store_waits_for_a_database_that_comes_back(
    connect: Connect, broken_store: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_fence, "FENCE_SECONDS", 30)
    connection = connect(seconds=-1)
    threading.Timer(0.5, broken_store).start()
    assert get(connection).generation == 2


def test_tampered_journal_entry_is_not_stored(
    connect: Connect, broken_store: Callable[[], None], settings: Settings, tmp_path: Path, cast: Cast
) -> None:
    settings.DATA_DIR = tmp_path
    alices, bobs = connect(seconds=-1), connect(cast.bob, seconds=-1)
    with pytest.raises(CredentialUnavailableError):
        get(alices)
    (left,) = (tmp_path / "journal").iterdir()
    left.rename(left.with_name(left.name.replace(str(alices.pk), str(bobs.pk))))
    broken_store()
    assert recover_refreshes() == 0
    bobs.refresh_from_db()
    assert bobs.generation == 1


def test_connection_revoked_during_a_refresh_stays_revoked(
    connect: Connect, server: AuthorizationServer, cast: Cast
) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append(LATE)
    worker = Worker(connection)
    worker.go()
    server.wait_for_request()
    revoke_connection(connection=connection, reason="disconnected")
    assert worker.results() == [{"error": "ReauthorizationRequiredError"}]

    connection.refresh_from_db()
    assert connection.status == "revoked"
    assert not Credential.objects.filter(connection=connection).exists()
    for receipt in connection.revocations.all():
        assert confirm_revocation(revocation=receipt).status == "revoked"
    (family,) = server.grants.families.values()
    assert family.current in server.grants.revoked
    assert not family.is_alive


def test_connection_made_anew_during_a_refresh_is_not_overwritten(
    connect: Connect, server: AuthorizationServer
) -> None:
    connection = connect(seconds=-1)
    server.grants.faults.append(LATE)
    worker = Worker(connection)
    worker.go()
    server.wait_for_request()
    renewed = connect()
    mine = get_bearer(get(renewed))
    (result,) = worker.results()
    assert result["generation"] == 2
    assert get_bearer(get(renewed)) == mine


def test_swapped_ciphertexts_open_in_neither_row(connect: Connect, cast: Cast) -> None:
    alices, bobs = connect(), connect(cast.bob)
    first, second = Credential.objects.get(connection=alices), Credential.objects.get(connection=bobs)
    Credential.objects.filter(pk=first.pk).update(ciphertext=second.ciphertext)
    Credential.objects.filter(pk=second.pk).update(ciphertext=first.ciphertext)
    for connection in (alices, bobs):
        with pytest.raises(ReauthorizationRequiredError, match="can't be used"):
            get(connection)


def test_sweep_renews_what_expires_soon_and_leaves_the_rest(
    connect: Connect, server: AuthorizationServer, cast: Cast
) -> None:
    soon, later = connect(seconds=120), connect(cast.bob, seconds=3600)
    refresh_expiring()
    refresh_expiring()
    soon.refresh_from_db()
    later.refresh_from_db()
    assert (soon.generation, later.generation) == (2, 1)
    assert server.exchanges == 1


def test_one_refresh_that_hangs_does_not_end_the_sweep(
    connect: Connect, server: AuthorizationServer, cast: Cast
) -> None:
    both = connect(seconds=10), connect(cast.bob, seconds=60)
    server.grants.faults.append("500")
    refresh_expiring()
    for connection in both:
        connection.refresh_from_db()
    # They are refreshed side by side: which of them meets the fault is not settled.
    assert sorted(connection.generation for connection in both) == [1, 2]


def test_sweep_renews_once_a_day_what_nobody_uses(connect: Connect, server: AuthorizationServer, cast: Cast) -> None:
    idle, without = connect(seconds=90 * 86400), connect(cast.bob, seconds=90 * 86400, refresh_token="")
    Credential.objects.update(updated_at=timezone.now() - dt.timedelta(hours=25))
    for _ in range(2):
        refresh_expiring()
    idle.refresh_from_db()
    without.refresh_from_db()
    assert (idle.generation, without.generation) == (2, 1)
    assert server.exchanges == 1


def test_failed_renewal_of_an_idle_connection_fails_nobody(connect: Connect, server: AuthorizationServer) -> None:
    connection = connect(seconds=90 * 86400)
    Credential.objects.update(updated_at=timezone.now() - dt.timedelta(hours=25))
    server.grants.faults.append("invalid_client")
    refresh_expiring()
    connection.refresh_from_db()
    assert (connection.status, connection.generation) == ("active", 1)
    assert get(connection).generation == 1


def test_suspension_and_a_refresh_at_the_same_moment_do_not_wait_for_each_other(
    connect: Connect, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both change rows that the data plane hears of: locked in another order, one of them would fail."""
    connection = connect(seconds=-1)
    is_storing = threading.Event()

    def store_late(*args: Any, **options: Any) -> None:
        is_storing.set()
        time.sleep(0.5)
        store_credential(*args, **options)

    monkeypatch.setattr(refresh_fence, "store_credential", store_late)
    failures: list[Exception] = []

    def suspend() -> None:
        is_storing.wait(10)
        try:
            suspend_membership(membership=cast.alice.memberships.get())
        except Exception as error:
            failures.append(error)
        finally:
            database.close()

    thread = threading.Thread(target=suspend)
    thread.start()
    with contextlib.suppress(ReauthorizationRequiredError):
        get(connection)
    thread.join()

    assert failures == []
    connection.refresh_from_db()
    assert connection.status == "revoked"
    assert AuditEvent.objects.filter(type="connection.refreshed").count() == 1
