"""A usable credential for a call: opened, and renewed first where it is about to expire or was refused.

One refresh at a time per connection, across all processes: whoever takes the fence asks the integration, the others
wait and share what it stored. No transaction is open while the network is used.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass, field
from uuid import UUID

from connections.errors import (
    ClientRejectedError,
    CredentialUnavailableError,
    InvalidGrantError,
    ReauthorizationRequiredError,
    TokenRequestError,
)
from connections.injection import build_headers
from connections.models import Connection, Integration
from connections.oauth.tokens import refresh_tokens
from connections.sealing import Document, open_credential
from connections.services.recover_refreshes import recover_refreshes
from connections.services.refresh_fence import (
    BackingOff,
    Fence,
    Held,
    Unrenewable,
    read_connection,
    release_fence,
    require_reauthorization,
    store_refreshed,
    take_fence,
)
from orgs.vault import VaultError

_POLL_SECONDS = 0.02
_MAX_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class UsableCredential:
    """What a request to the integration carries. `expires_at` is None where the integration didn't say.

    `secret` is the token or key by itself, `values` what the integration said of the account that calls have to name.
    """

    connection_id: UUID
    generation: int
    headers: dict[str, str] = field(repr=False)
    expires_at: dt.datetime | None
    account: str
    secret: str = field(repr=False, default="")
    values: dict[str, str] = field(repr=False, default_factory=dict)


def get_credential(
    *,
    connection_id: UUID,
    min_seconds: float = 30,
    max_age: float = float("inf"),
    known_bad_generation: int | None = None,
    deadline: float,
) -> UsableCredential:
    """Return a credential that is good for `min_seconds` more, refreshing it if need be.

    One that was stored more than `max_age` seconds ago is renewed, too, where it can be: refresh tokens that lie idle
    are ended by many integrations. `known_bad_generation` is the generation that the integration just refused (401): a
    newer one is returned, or made. `deadline` is in seconds of the monotonic clock and bounds the waiting for others; a
    refresh of our own is finished and stored even past it, since its answer comes only once. Blocks: call it in a
    thread.

    Raises ReauthorizationRequiredError when only the person can mend it, CredentialUnavailableError when it may work
    later. The latter leaves the connection as it was.
    """
    wait = _POLL_SECONDS
    while True:
        connection = _find_connection(connection_id)
        is_refused = known_bad_generation is not None and connection.generation <= known_bad_generation
        is_good = connection.status == Connection.Status.ACTIVE and not is_refused and _seconds_left(connection) > 0
        is_fresh = _get_age(connection) <= max_age or not connection.is_renewable
        if is_good and is_fresh and _seconds_left(connection) >= _get_margin(connection, min_seconds):
            return _open(connection)
        fence = take_fence(connection)
        if isinstance(fence, Fence):
            # What an interrupted refresh had received may lie here: it counts, and the old token is spent.
            if not (fence.was_interrupted and recover_refreshes(connection_id=connection_id)):
                _refresh(fence, is_good=is_good)
        elif is_good:
            return _open(connection)  # it can't be renewed now, and does not have to be
        elif isinstance(fence, Unrenewable):
            require_reauthorization(connection, cause=fence.reason)
        elif isinstance(fence, BackingOff):
            raise CredentialUnavailableError(f"the connection could not be renewed: {fence.error}")
        elif isinstance(fence, Held):
            if time.monotonic() + wait >= deadline:
                raise CredentialUnavailableError("the connection is being renewed and was not ready in time")
            time.sleep(wait)
            wait = min(2 * wait, _MAX_POLL_SECONDS)


def _find_connection(connection_id: UUID) -> Connection:
    """Return the connection with its credential, as they are now. Raises what its state means for a call."""
    connection = read_connection(connection_id)
    states = Connection.Status
    if connection is None or connection.status in (states.REVOKED, states.PENDING):
        raise ReauthorizationRequiredError("this account is not connected (any more): connect it first")
    if connection.status == states.REAUTHORIZATION_REQUIRED:
        raise ReauthorizationRequiredError("the integration no longer accepts this connection: connect it again")
    if connection.integration.status == Integration.Status.DISABLED:
        raise CredentialUnavailableError("the integration is switched off")
    if not hasattr(connection, "credential"):
        raise ReauthorizationRequiredError("this connection has no credential: connect it again")
    return connection


def _seconds_left(connection: Connection) -> float:
    if connection.expires_at is None:
        return float("inf")
    # By the database's clock, which is the same for all processes.
    now: dt.datetime = connection.read_at  # type: ignore[attr-defined]
    return (connection.expires_at - now).total_seconds()


def _get_age(connection: Connection) -> float:
    now: dt.datetime = connection.read_at  # type: ignore[attr-defined]
    return (now - connection.credential.updated_at).total_seconds()


def _get_margin(connection: Connection, wanted: float) -> float:
    """Tokens that live shorter than the margin would be renewed by every single caller: half their life will do."""
    if connection.expires_at is None:
        return wanted
    lifetime = (connection.expires_at - connection.credential.updated_at).total_seconds()
    return min(wanted, lifetime / 2)


def _refresh(fence: Fence, *, is_good: bool) -> None:
    """Ask the integration and store what it says. Returns when reading again is worth while."""
    try:
        tokens = refresh_tokens(
            fence.token_endpoint,
            fence.client,
            refresh_token=fence.refresh_token,
            resource=fence.resource,
            scopes=fence.scopes,
            dialect=fence.dialect,
        )
    except InvalidGrantError as error:
        release_fence(fence, status=Connection.Status.REAUTHORIZATION_REQUIRED, error=error)
    except ClientRejectedError as error:
        # The person can't mend this, and while the token is good it need not fail anyone's call.
        release_fence(fence, status=Connection.Status.ACTIVE if is_good else Connection.Status.ERROR, error=error)
    except TokenRequestError as error:
        release_fence(fence, status=None, error=error)
    else:
        store_refreshed(fence, tokens)


def _open(connection: Connection) -> UsableCredential:
    integration = connection.integration
    recipe = integration.recipe
    try:
        document = open_credential(connection.credential)
        headers = build_headers(recipe, json.dumps(document).encode())
    except (VaultError, ValueError) as error:
        raise ReauthorizationRequiredError(f"the stored credential can't be used: {error}") from None
    return UsableCredential(
        connection_id=connection.pk,
        generation=connection.generation,
        headers=headers,
        secret=str(document.get(recipe.member, "")),
        values=_get_shown(integration, document),
        expires_at=connection.expires_at,
        account=connection.account,
    )


def _get_shown(integration: Integration, document: Document) -> dict[str, str]:
    """Return the parameters of an account. With a key, the same member holds parts of the secret."""
    told = document.get("values") if integration.auth_mode == Integration.AuthMode.OAUTH else None
    return {**integration.parameters, **(told or {})}
