from __future__ import annotations

import datetime as dt
import time

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from connections.errors import AnotherAccountError, ConnectLinkError
from connections.models import ConnectSession, Integration, Revocation
from connections.services.complete_connect import answer_account_question
from connections.services.confirm_revocations import confirm_revocation
from connections.services.discover_capabilities import discover_capabilities
from connections.services.forget_sessions import forget_sessions
from connections.services.refresh import get_credential
from connections.services.revoke import revoke_connection
from tests.connections.journey import connect
from tests.e2e.peers import GitHub
from tests.factories import Cast

TOOLS = {("create_issue", "write"), ("delete_repo", "destructive"), ("get_file", "read"), ("list_issues", "read")}


def test_connection_works_is_renewed_and_ends_at_the_integration_too(
    cast: Cast, integration: Integration, github: GitHub
) -> None:
    connection = connect(cast.alice, integration)
    assert (connection.status, connection.generation) == ("active", 1)

    tools = discover_capabilities(integration=integration, connection=connection)
    assert {(tool.name, tool.klass) for tool in tools} == TOOLS

    good = get_credential(connection_id=connection.pk, deadline=time.monotonic() + 5)
    github.expire_access_tokens()
    renewed = get_credential(
        connection_id=connection.pk, known_bad_generation=good.generation, deadline=time.monotonic() + 5
    )
    assert renewed.generation == 2
    assert renewed.headers != good.headers
    discover_capabilities(integration=integration, connection=connection)

    revoke_connection(connection=connection, reason="disconnected")
    receipt = connection.revocations.get()
    assert receipt.status == "pending"
    confirm_revocation(revocation=receipt)
    assert receipt.status == "revoked"
    assert github.tokens() == {"access": [], "refresh": []}


def test_connection_names_the_account(cast: Cast, integration: Integration) -> None:
    connection = connect(cast.alice, integration)
    assert connection.account == "alice-acme"
    assert AuditEvent.objects.get(type="connection.activated").account == "alice-acme"


def test_same_account_again_renews_the_connection(cast: Cast, integration: Integration) -> None:
    first = connect(cast.alice, integration)
    second = connect(cast.alice, integration)
    assert (second.pk, second.generation) == (first.pk, 2)


@pytest.mark.parametrize(("replaces", "account"), [("yes", "bob-acme"), ("no", "alice-acme")])
def test_second_account_waits_for_the_person_to_decide(
    cast: Cast, integration: Integration, github: GitHub, replaces: str, account: str
) -> None:
    first = connect(cast.alice, integration)
    before = get_credential(connection_id=first.pk, deadline=time.monotonic() + 5)

    with pytest.raises(AnotherAccountError, match="connected as alice-acme"):
        connect(cast.alice, integration, account="bob-acme")

    unchanged = get_credential(connection_id=first.pk, deadline=time.monotonic() + 5)
    assert unchanged == before
    session = ConnectSession.objects.get(used_at__isnull=True)
    assert b"gho_" not in bytes(session.held_credential)

    decided = answer_account_question(session=session, replaces=replaces)
    assert decided.account == account
    for receipt in Revocation.objects.all():
        confirm_revocation(revocation=receipt)
    (left,) = github.tokens()["access"]
    assert get_credential(connection_id=first.pk, deadline=time.monotonic() + 5).headers == {
        "Authorization": f"Bearer {left}"
    }
    with pytest.raises(ConnectLinkError):
        answer_account_question(session=session, replaces="yes")


def test_undecided_account_is_revoked_when_its_time_is_over(
    cast: Cast, integration: Integration, github: GitHub
) -> None:
    connection = connect(cast.alice, integration)
    with pytest.raises(AnotherAccountError):
        connect(cast.alice, integration, account="bob-acme")
    ConnectSession.objects.update(expires_at=timezone.now() - dt.timedelta(days=2))

    forget_sessions()

    assert not ConnectSession.objects.exists()
    confirm_revocation(revocation=Revocation.objects.get())
    assert len(github.tokens()["refresh"]) == 1
    assert get_credential(connection_id=connection.pk, deadline=time.monotonic() + 5).account == "alice-acme"
