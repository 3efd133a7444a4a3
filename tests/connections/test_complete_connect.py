from __future__ import annotations

import time

from connections.models import Integration
from connections.services.confirm_revocations import confirm_revocation
from connections.services.discover_capabilities import discover_capabilities
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
