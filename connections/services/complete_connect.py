"""The end of an OAuth connection: the code that the browser brought becomes a stored credential."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.db import transaction

from audit.services.record import Actor
from audit.types import EventType
from connections.catalogue.adopt import get_dialect
from connections.errors import AnotherAccountError, CallbackError, ConnectionsError, ConnectLinkError
from connections.filling import fill, find_names
from connections.models import Connection, ConnectSession, Credential, OAuthClient
from connections.oauth.accounts import Profile, find_account, find_profile
from connections.oauth.authorization import check_callback
from connections.oauth.clients import Client
from connections.oauth.dialect import Dialect
from connections.oauth.tokens import Tokens, exchange_code
from connections.sealing import (
    open_client,
    open_code_verifier,
    open_credential,
    open_held_credential,
    seal_held_credential,
)
from connections.services.connect_session import take_state, use_session
from connections.services.events import record_integration_event
from connections.services.revoke import revoke_at_integration
from connections.services.store_credential import (
    NewCredential,
    activate_connection,
    check_may_connect,
    describe_tokens,
)
from orgs.http import make_actor
from orgs.locks import lock_version
from orgs.vault import VaultError


def complete_connect(
    *, session: ConnectSession, parameters: Mapping[str, str], actor: Actor | None = None
) -> Connection:
    """Finish what `start_authorization` began, with the query of the callback. The state is spent whatever happens.

    Raises CallbackError when the answer can't be trusted, AuthorizationRefusedError when the person or the integration
    declined, TokenRequestError when the integration gives no token, ConnectLinkError when it may no longer be,
    AnotherAccountError when the person is connected as someone else: see answer_account_question.
    """
    actor = actor or make_actor(user=session.user, application=session.application)
    try:
        take_state(session)
        server = _get_server(session)
        sends_issuer = server.metadata.get("authorization_response_iss_parameter_supported") is True
        code = check_callback(parameters, issuer=session.issuer, sends_issuer=sends_issuer)
        client = open_client(server)
        dialect = get_dialect(server)
        tokens = exchange_code(
            server.token_endpoint,
            client,
            code=code,
            redirect_uri=server.redirect_uri,
            code_verifier=open_code_verifier(session),
            resource=server.resource,
            dialect=dialect,
        )
        return _store(session, _describe(session, server, client, tokens, parameters), actor)
    except AnotherAccountError:
        raise
    except ConnectionsError as error:
        record_integration_event(
            EventType.CONNECTION_REFUSED,
            session.integration,
            actor=actor,
            outcome="error_auth",
            session=str(session.pk),
            reason=str(error)[:255],
        )
        raise


def answer_account_question(*, session: ConnectSession, replaces: str, actor: Actor | None = None) -> Connection:
    """Say which account stays, after AnotherAccountError: `replaces` is "yes" for the new one, "no" for the former.

    The other account's credential is revoked at the integration.
    """
    actor = actor or make_actor(user=session.user, application=session.application)
    if not session.held_credential:
        raise ConnectLinkError("there is nothing to decide (any more): begin again")
    new = _open_held(session)
    with transaction.atomic():
        check_may_connect(session.user, session.integration)
        lock_version(session.organization_id)
        connection = Connection.objects.select_for_update().get(user=session.user, integration=session.integration)
        use_session(session)
        if replaces == "yes":
            _revoke_former(connection)
            return activate_connection(
                integration=session.integration, user=session.user, new=new, actor=actor, replaced=connection.account
            )
        rejected = Connection(integration=session.integration, account=new.account, issuer=new.issuer)
        rejected.organization_id = session.organization_id
        revoke_at_integration(rejected, new.document, reason="another account stays connected")
    return connection


def _get_server(session: ConnectSession) -> OAuthClient:
    server = OAuthClient.objects.select_related("integration").filter(integration=session.integration_id).first()
    if server is None or server.issuer != session.issuer:
        raise CallbackError("the integration was set up anew in the meantime: begin again")
    return server


def _describe(
    session: ConnectSession, server: OAuthClient, client: Client, tokens: Tokens, redirected: Mapping[str, str]
) -> NewCredential:
    try:
        profile = _find_profile(server, client, tokens, redirected)
    except ConnectionsError:
        _give_back(session, NewCredential(document=describe_tokens(tokens, client), issuer=server.issuer))
        raise
    account = profile.account or tokens.account
    return NewCredential(
        document=describe_tokens(tokens, client, values=profile.values),
        account=account or find_account(server.metadata.get("userinfo_endpoint"), tokens.access_token),
        # A server that says nothing granted what was asked (RFC 6749 §5.1).
        scopes=tokens.scopes if tokens.scopes is not None else tuple(server.scopes),
        issuer=server.issuer,
        expires_at=tokens.expires_at,
    )


def _find_profile(server: OAuthClient, client: Client, tokens: Tokens, redirected: Mapping[str, str]) -> Profile:
    """Ask the service whose account it is, and for what its calls need, where the catalogue says how."""
    dialect = get_dialect(server)
    header = fill(dialect.oauth.template, {"token": tokens.access_token})
    secrets = {
        "token": tokens.access_token,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    return find_profile(
        dialect,
        told=tokens.told,
        redirected=redirected,
        headers={**_get_fixed(dialect), dialect.oauth.header: header},
        secrets=secrets,
    )


def _get_fixed(dialect: Dialect) -> dict[str, str]:
    return {name: text for name, text in dialect.headers.items() if not find_names(text)}


def _store(session: ConnectSession, new: NewCredential, actor: Actor) -> Connection:
    former = Connection.objects.filter(
        user=session.user, integration=session.integration, status=Connection.Status.ACTIVE
    ).first()
    if former is not None and former.account and new.account and former.account != new.account:
        _hold(session, new)
        raise AnotherAccountError(f"you are connected as {former.account}, and signed in there as {new.account}")
    try:
        with transaction.atomic():
            use_session(session)
            return activate_connection(integration=session.integration, user=session.user, new=new, actor=actor)
    except ConnectLinkError:
        _give_back(session, new)
        raise


def _give_back(session: ConnectSession, new: NewCredential) -> None:
    """Nobody may use these tokens, so nobody should be able to."""
    unused = Connection(integration=session.integration, account=new.account, issuer=new.issuer)
    unused.organization_id = session.organization_id
    with transaction.atomic():
        revoke_at_integration(unused, new.document, reason="not allowed to connect any more")


def _hold(session: ConnectSession, new: NewCredential) -> None:
    document = {
        "document": new.document,
        "account": new.account,
        "scopes": list(new.scopes),
        "issuer": new.issuer,
        "expires_at": new.expires_at.isoformat() if new.expires_at else None,
    }
    ConnectSession.objects.filter(pk=session.pk).update(
        held_credential=seal_held_credential(session, document), held_account=new.account
    )


def _open_held(session: ConnectSession) -> NewCredential:
    held = open_held_credential(session)
    return NewCredential(
        document=held["document"],
        account=held["account"],
        scopes=tuple(held["scopes"]),
        issuer=held["issuer"],
        expires_at=dt.datetime.fromisoformat(held["expires_at"]) if held["expires_at"] else None,
    )


def _revoke_former(connection: Connection) -> None:
    credential = Credential.objects.filter(connection=connection).first()
    if credential is None:
        return
    try:
        revoke_at_integration(connection, open_credential(credential), reason="replaced by another account")
    except VaultError:
        return  # it opens for nobody, so there is nothing to revoke with
