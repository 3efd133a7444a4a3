"""What ends here at once and at the integration as soon as it listens, with a receipt (PEERS 11; THREATS 38)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from connections.errors import ReauthorizationRequiredError
from connections.models import Connection, ConnectSession, Credential, Integration, OAuthClient, Revocation
from connections.services import confirm_revocations as service
from connections.services.confirm_revocations import confirm_revocation
from connections.services.refresh import get_credential
from connections.services.revoke import revoke_connection
from connections.services.store_credential import NewCredential, activate_connection
from connections.tasks import confirm_revocations
from orgs.services.suspend_person import suspend_membership, suspend_user
from tests.connections.faults.server import AuthorizationServer
from tests.connections.journey import begin, connect
from tests.e2e.peers import GitHub
from tests.factories import Cast, make_connection, make_integration


@pytest.fixture
def server() -> Iterator[AuthorizationServer]:
    server = AuthorizationServer()
    yield server
    server.close()


@pytest.fixture
def connection(cast: Cast, server: AuthorizationServer) -> Connection:
    made = make_integration(cast.acme, "code")
    OAuthClient.objects.create(
        organization=cast.acme,
        integration=made,
        issuer=server.issuer,
        authorization_endpoint=f"{server.issuer}/authorize",
        token_endpoint=f"{server.issuer}/token",
        revocation_endpoint=f"{server.issuer}/revoke",
        client_id="kontext",
    )
    tokens = server.grants.issue()
    document = {name: tokens[name] for name in ("access_token", "refresh_token")}
    new = NewCredential(document=document, account="alice", issuer=server.issuer)
    return activate_connection(integration=made, user=cast.alice, new=new)


def test_revoke_deletes_here_and_leaves_an_errand(connection: Connection, server: AuthorizationServer) -> None:
    access = next(iter(server.grants.access))
    revoke_connection(connection=connection, reason="lost laptop")
    revoke_connection(connection=connection, reason="twice")
    assert (connection.status, connection.revocation) == ("revoked", "pending")
    assert not Credential.objects.exists()
    receipt = connection.revocations.get()
    assert access.encode() not in bytes(receipt.errand)
    event = AuditEvent.objects.get(type="connection.revoked")
    assert (event.details["reason"], event.account) == ("lost laptop", "alice")
    with pytest.raises(ReauthorizationRequiredError):
        get_credential(connection_id=connection.pk, deadline=0)


def test_confirmed_revocation_settles_the_receipt(connection: Connection, server: AuthorizationServer) -> None:
    revoke_connection(connection=connection, reason="x")
    confirm_revocations()
    connection.refresh_from_db()
    receipt = connection.revocations.get()
    assert (connection.revocation, receipt.status, receipt.attempts) == ("revoked", "revoked", 1)
    assert bytes(receipt.errand) == b""
    assert receipt.settled_at is not None
    (family,) = server.grants.families.values()
    assert not family.is_alive
    assert {token.split("-")[0] for token in server.grants.revoked} == {"refresh", "access"}
    event = AuditEvent.objects.get(type="connection.revocation_confirmed")
    assert event.details["status"] == "revoked"
    confirm_revocations()
    assert connection.revocations.get().attempts == 1


def test_failed_revocation_is_tried_again_later(connection: Connection, server: AuthorizationServer) -> None:
    revoke_connection(connection=connection, reason="x")
    server.grants.faults.extend(["503", "500"])
    waits = []
    for _ in range(2):
        confirm_revocations()
        receipt = connection.revocations.get()
        assert (receipt.status, receipt.settled_at) == ("pending", None)
        assert receipt.next_attempt_at is not None
        waits.append((receipt.next_attempt_at - timezone.now()).total_seconds())
        confirm_revocations()  # not due yet: nobody is asked
        Revocation.objects.update(next_attempt_at=timezone.now())
    assert 4 < waits[0] < 11 < waits[1] + 3
    confirm_revocations()
    assert connection.revocations.get().status == "revoked"
    assert AuditEvent.objects.filter(type="connection.revocation_confirmed").count() == 1


def test_revocation_that_never_succeeds_is_said_to_have_failed(
    connection: Connection, server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_ATTEMPTS", 1)
    revoke_connection(connection=connection, reason="x")
    server.grants.faults.append("500")
    confirm_revocations()
    connection.refresh_from_db()
    assert connection.revocation == "failed"
    assert bytes(connection.revocations.get().errand) == b""
    assert AuditEvent.objects.get(type="connection.revocation_confirmed").outcome == "error_remote"


def test_errand_of_a_dead_worker_is_taken_over(connection: Connection, server: AuthorizationServer) -> None:
    revoke_connection(connection=connection, reason="x")
    receipt = connection.revocations.get()
    leased = timezone.now() + dt.timedelta(seconds=60)
    Revocation.objects.update(attempts=1, next_attempt_at=leased)
    confirm_revocations()
    assert server.grants.revoked == []
    Revocation.objects.update(next_attempt_at=timezone.now())
    confirm_revocations()
    receipt.refresh_from_db()
    assert (receipt.status, receipt.attempts) == ("revoked", 2)


def test_connection_made_again_keeps_its_own_story(connection: Connection, server: AuthorizationServer) -> None:
    revoke_connection(connection=connection, reason="x")
    new = NewCredential(document={"access_token": "new"}, issuer=server.issuer)
    again = activate_connection(integration=connection.integration, user=connection.user, new=new)
    confirm_revocations()
    again.refresh_from_db()
    assert (again.pk, again.status, again.revocation) == (connection.pk, "active", "")
    assert again.revocations.get().status == "revoked"


def test_integration_without_revocation_says_so(connection: Connection, server: AuthorizationServer) -> None:
    OAuthClient.objects.update(revocation_endpoint="")
    revoke_connection(connection=connection, reason="x")
    assert connection.revocation == "unsupported"
    assert bytes(connection.revocations.get().errand) == b""


def test_credential_that_does_not_open_ends_all_the_same(connection: Connection) -> None:
    Credential.objects.update(ciphertext=b"\x01" + bytes(60))
    revoke_connection(connection=connection, reason="x")
    assert (connection.status, connection.revocation) == ("revoked", "failed")
    assert not Credential.objects.exists()


def test_tampered_errand_fails_without_asking(connection: Connection, server: AuthorizationServer) -> None:
    revoke_connection(connection=connection, reason="x")
    Revocation.objects.update(errand=b"\x01" + bytes(60))
    confirm_revocation(revocation=connection.revocations.get())
    assert connection.revocations.get().status == "failed"
    assert server.grants.revoked == []


@pytest.mark.parametrize("how", ["membership", "user"])
def test_suspension_ends_the_connections_of_that_person(
    cast: Cast, integration: Integration, github: GitHub, how: str
) -> None:
    mine, bobs = connect(cast.alice, integration), connect(cast.bob, integration, account="bob-acme")
    begin(cast.alice, integration)
    if how == "user":
        suspend_user(user=cast.alice)
    else:
        suspend_membership(membership=cast.alice.memberships.get())

    mine.refresh_from_db()
    bobs.refresh_from_db()
    assert (mine.status, bobs.status) == ("revoked", "active")
    assert not Credential.objects.filter(connection=mine).exists()
    assert not ConnectSession.objects.filter(user=cast.alice, used_at__isnull=True).exists()
    assert AuditEvent.objects.get(type="connection.revoked").details["reason"] == "person suspended"
    confirm_revocations()
    assert len(github.tokens()["refresh"]) == 1


def test_suspension_in_one_organization_leaves_the_other_alone(cast: Cast) -> None:
    cast.globex.memberships.create(user=cast.alice)
    theirs = make_connection(cast.globex_github, cast.alice)
    suspend_membership(membership=cast.alice.memberships.get(organization=cast.acme))
    theirs.refresh_from_db()
    assert theirs.status == "active"
