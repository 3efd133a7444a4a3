"""Whose credential a call carries, how it is renewed once for all, and that it is nowhere else."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from connections import errors as refusals
from connections.models import Connection, ConnectSession, Credential, Integration
from connections.services.refresh import UsableCredential
from connections.services.revoke import revoke_connection
from connections.services.store_credential import NewCredential, activate_connection
from gateway.errors import ConnectionRequiredError, CredentialUnavailableError, GatewayError
from gateway.facts import ConnectLink, Injection, IntegrationFacts, Principal
from orgs.models import Application, User
from tests.factories import Cast, make_application, make_integration
from tests.gateway.conftest import RunningState, wait_until

ALICES = "alices-secret-key"
BOBS = "bobs-secret-key"


class Broker:
    """Asks the state's Credentials in the name of people."""

    def __init__(self, cast: Cast, state: RunningState) -> None:
        self.cast = cast
        self.state = state
        self.credentials = state.runtime.credentials

    def principal(self, user: User | None, application: Application | None = None) -> Principal:
        application = application or self.cast.pr_bot
        return Principal(
            organization_id=str(application.organization_id),
            user_id=str(user.pk) if user is not None else None,
            application_id=str(application.pk),
            client_id=application.client_id,
            jti="",
            scopes=frozenset(),
            resource="",
            issued_at=0,
            expires_at=0,
            user_name="",
            application_name="",
        )

    def facts(self, integration: Integration) -> IntegrationFacts:
        return self.state.get_snapshot(integration.organization).integrations[integration.slug]

    async def _obtain(self, user: User | None, integration: Integration, times: int) -> list[Any]:
        snapshot = await self.state.runtime.snapshots.get(str(integration.organization_id))
        assert snapshot is not None
        facts, principal = snapshot.integrations[integration.slug], self.principal(user)
        calls = (self.credentials.obtain(snapshot, principal, facts) for _ in range(times))
        return await asyncio.gather(*calls, return_exceptions=True)

    def obtain_many(self, user: User | None, integration: Integration, times: int) -> list[Any]:
        return self.state.run(self._obtain(user, integration, times))

    def obtain(self, user: User | None, integration: Integration) -> Injection:
        (result,) = self.obtain_many(user, integration, 1)
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, Injection)
        return result

    def renew_many(self, user: User, integration: Integration, bad: Injection, times: int) -> list[Any]:
        async def renew() -> list[Any]:
            snapshot = await self.state.runtime.snapshots.get(str(integration.organization_id))
            assert snapshot is not None
            facts, principal = snapshot.integrations[integration.slug], self.principal(user)
            calls = (self.credentials.renew(snapshot, principal, facts, bad) for _ in range(times))
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.state.run(renew())

    def link(self, user: User | None, integration: Integration, application: Application | None = None) -> ConnectLink:
        facts = self.facts(integration)
        return self.state.run(self.credentials.create_connect_link(self.principal(user, application), facts))

    def find_refusal(self, user: User | None, integration: Integration) -> GatewayError | None:
        try:
            self.obtain(user, integration)
        except GatewayError as error:
            return error
        return None


@pytest.fixture
def broker(cast: Cast, state: RunningState) -> Broker:
    Integration.objects.filter(pk=cast.github.pk).update(auth_mode="user_token")
    cast.github.refresh_from_db()
    return Broker(cast, state)


def connect(integration: Integration, user: User | None, secret: str, **fields: Any) -> Connection:
    name = "access_token" if integration.auth_mode == "oauth" else "key"
    new = NewCredential(document={name: secret}, **fields)
    return activate_connection(integration=integration, user=user, new=new)


def refuse_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**kwargs: Any) -> UsableCredential:
        raise AssertionError("this must not be needed")

    monkeypatch.setattr("gateway.credentials.get_credential", fail)


class Fetcher:
    """Stands in for the integration's token endpoint, a slow one."""

    def __init__(self, answer: Callable[[int], UsableCredential]) -> None:
        self.calls: list[dict[str, Any]] = []
        self._answer = answer

    def __call__(self, **kwargs: Any) -> UsableCredential:
        self.calls.append(kwargs)
        time.sleep(0.1)
        return self._answer(len(self.calls))


def make_usable(connection: Connection, generation: int, secret: str = "renewed-secret") -> UsableCredential:
    return UsableCredential(connection.pk, generation, {"Authorization": f"Bearer {secret}"}, None, "alice")


def test_obtain_gives_each_person_their_own_key_without_leaving_memory(
    cast: Cast, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_fetch(monkeypatch)
    alices = connect(cast.github, cast.alice, ALICES, account="alice@github")
    connect(cast.github, cast.bob, BOBS)
    injection = broker.obtain(cast.alice, cast.github)
    assert injection.headers == {"Authorization": f"Bearer {ALICES}"}
    assert (injection.connection_id, injection.account) == (str(alices.pk), "alice@github")
    assert injection.generation == alices.generation
    assert broker.obtain(cast.bob, cast.github).headers == {"Authorization": f"Bearer {BOBS}"}
    assert ALICES not in repr(injection)


def test_obtain_uses_the_header_and_template_of_the_integration(cast: Cast, broker: Broker) -> None:
    Integration.objects.filter(pk=cast.github.pk).update(key_header="X-Api-Key", key_template="key={token}")
    connect(cast.github, cast.alice, ALICES)
    wait_until(lambda: broker.facts(cast.github).recipe.name == "X-Api-Key")
    assert broker.obtain(cast.alice, cast.github).headers == {"X-Api-Key": f"key={ALICES}"}


def test_obtain_keeps_credentials_sealed_in_memory(cast: Cast, broker: Broker) -> None:
    connect(cast.github, cast.alice, ALICES)
    broker.obtain(cast.alice, cast.github)
    key = (str(cast.alice.pk), str(cast.github.pk))
    held = broker.state.run(broker.credentials._connections.get(str(cast.acme.pk), key))
    assert held is not None
    assert held.sealed is not None
    assert ALICES not in repr([getattr(held.sealed, name) for name in type(held.sealed).__slots__])
    assert "ciphertext" not in repr(held)


def test_obtain_without_connection_asks_for_one_and_uses_it_at_once_when_made(cast: Cast, broker: Broker) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionRequiredError) as caught:
            broker.obtain(cast.alice, cast.github)
        assert (caught.value.reason, caught.value.is_personal) == ("not_connected", True)
    connect(cast.github, cast.alice, ALICES)
    wait_until(lambda: broker.find_refusal(cast.alice, cast.github) is None)
    assert ALICES in broker.obtain(cast.alice, cast.github).headers["Authorization"]


ENDINGS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "revoked": (lambda c: revoke_connection(connection=c, reason="test"), "revoked"),
    "deleted": (lambda c: Connection.objects.filter(pk=c.pk).delete(), "not_connected"),
    "refused by the integration": (
        lambda c: Connection.objects.filter(pk=c.pk).update(status="reauthorization_required"),
        "reauthorization_required",
    ),
    "begun anew": (lambda c: Connection.objects.filter(pk=c.pk).update(status="pending"), "not_connected"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_obtain_after_the_connection_ended_is_refused_within_a_second(cast: Cast, broker: Broker, ending: str) -> None:
    end, reason = ENDINGS[ending]
    connection = connect(cast.github, cast.alice, ALICES)
    connect(cast.github, cast.bob, BOBS)
    assert broker.find_refusal(cast.alice, cast.github) is None
    assert broker.find_refusal(cast.bob, cast.github) is None
    end(connection)
    wait_until(lambda: broker.find_refusal(cast.alice, cast.github) is not None)
    refusal = broker.find_refusal(cast.alice, cast.github)
    assert isinstance(refusal, ConnectionRequiredError)
    assert refusal.reason == reason
    assert ALICES not in str(refusal)
    assert broker.find_refusal(cast.bob, cast.github) is None


def test_obtain_replaced_key_is_used_within_a_second(cast: Cast, broker: Broker) -> None:
    connect(cast.github, cast.alice, ALICES)
    broker.obtain(cast.alice, cast.github)
    connect(cast.github, cast.alice, "another-key")
    wait_until(lambda: "another-key" in broker.obtain(cast.alice, cast.github).headers["Authorization"])


def test_obtain_swapped_ciphertexts_make_both_fail(cast: Cast, broker: Broker) -> None:
    connections = [connect(cast.github, cast.alice, ALICES), connect(cast.github, cast.bob, BOBS)]
    texts = [bytes(Credential.objects.get(connection=connection).ciphertext) for connection in connections]
    for connection, text in zip(connections, reversed(texts), strict=True):
        Credential.objects.filter(connection=connection).update(ciphertext=text)
    for user in (cast.alice, cast.bob):
        with pytest.raises(ConnectionRequiredError) as caught:
            broker.obtain(user, cast.github)
        assert not {ALICES, BOBS} & set(str(caught.value).split())


def test_obtain_for_nobody_uses_only_the_organizations_own_key(cast: Cast, broker: Broker) -> None:
    search = make_integration(cast.acme, "search", auth_mode="server_token")
    connect(cast.github, cast.alice, ALICES)
    with pytest.raises(ConnectionRequiredError) as caught:
        broker.obtain(None, cast.github)
    assert not caught.value.is_personal
    with pytest.raises(ConnectionRequiredError) as caught:
        broker.obtain(None, search)
    assert not caught.value.is_personal
    connect(search, None, "acmes-key")
    wait_until(lambda: broker.find_refusal(None, search) is None)
    for user in (None, cast.alice):
        assert broker.obtain(user, search).headers == {"Authorization": "Bearer acmes-key"}


def test_obtain_from_integration_without_credentials_sends_none(cast: Cast, broker: Broker) -> None:
    open_api = make_integration(cast.acme, "open", auth_mode="none")
    for user in (None, cast.alice):
        assert broker.obtain(user, open_api) == Injection(headers={})


def test_obtain_never_reaches_into_another_organization(cast: Cast, broker: Broker) -> None:
    """Even with the other organization's identifiers in hand."""
    connect(cast.github, cast.alice, ALICES)
    alices, facts = broker.principal(cast.alice), broker.facts(cast.github)
    globex = broker.state.get_snapshot(cast.globex)
    with pytest.raises(ConnectionRequiredError):
        broker.state.run(broker.credentials.obtain(globex, alices, facts))


def test_obtain_ending_credential_is_renewed_once_for_all_calls(
    cast: Cast, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = timezone.now() + dt.timedelta(seconds=20)
    connection = connect(cast.github, cast.alice, ALICES, expires_at=soon)
    fetcher = Fetcher(lambda count: make_usable(connection, 2))
    monkeypatch.setattr("gateway.credentials.get_credential", fetcher)
    results = broker.obtain_many(cast.alice, cast.github, 20)
    assert {result.headers["Authorization"] for result in results} == {"Bearer renewed-secret"}
    assert len(fetcher.calls) == 1
    assert fetcher.calls[0]["connection_id"] == connection.pk
    assert fetcher.calls[0]["known_bad_generation"] is None


def test_renew_refused_credential_asks_the_integration_once_for_all_calls(
    cast: Cast, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(cast.github, cast.alice, ALICES)
    bad = broker.obtain(cast.alice, cast.github)
    fetcher = Fetcher(lambda count: make_usable(connection, bad.generation + 1))
    monkeypatch.setattr("gateway.credentials.get_credential", fetcher)
    results = broker.renew_many(cast.alice, cast.github, bad, 20)
    assert {result.generation for result in results} == {bad.generation + 1}
    assert [call["known_bad_generation"] for call in fetcher.calls] == [bad.generation]


def test_renew_uses_what_another_process_has_stored_meanwhile(
    cast: Cast, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(cast.github, cast.alice, ALICES)
    bad = broker.obtain(cast.alice, cast.github)
    connect(cast.github, cast.alice, "stored-by-another")
    wait_until(lambda: broker.obtain(cast.alice, cast.github).generation > bad.generation)
    refuse_to_fetch(monkeypatch)
    (renewed,) = broker.renew_many(cast.alice, cast.github, bad, 1)
    assert renewed.headers == {"Authorization": "Bearer stored-by-another"}


def test_renew_credential_that_was_only_just_issued_does_not_ask_again(
    cast: Cast, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(cast.github, cast.alice, ALICES)
    bad = broker.obtain(cast.alice, cast.github)
    fetcher = Fetcher(lambda count: make_usable(connection, bad.generation + count))
    monkeypatch.setattr("gateway.credentials.get_credential", fetcher)
    (renewed,) = broker.renew_many(cast.alice, cast.github, bad, 1)
    (again,) = broker.renew_many(cast.alice, cast.github, renewed, 1)
    assert isinstance(again, CredentialUnavailableError)
    assert len(fetcher.calls) == 1


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (refusals.ReauthorizationRequiredError("gone for good"), ConnectionRequiredError),
        (refusals.CredentialUnavailableError("not now"), CredentialUnavailableError),
    ],
)
def test_renew_tells_permanent_refusals_from_passing_failures(
    cast: Cast,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    expected: type[GatewayError],
) -> None:
    connect(cast.github, cast.alice, ALICES)
    bad = broker.obtain(cast.alice, cast.github)

    def fail(count: int) -> UsableCredential:
        raise raised

    monkeypatch.setattr("gateway.credentials.get_credential", Fetcher(fail))
    for result in broker.renew_many(cast.alice, cast.github, bad, 3):
        assert isinstance(result, expected)


def test_renew_key_that_a_person_pasted_asks_them_for_another(cast: Cast, broker: Broker) -> None:
    connect(cast.github, cast.alice, ALICES)
    bad = broker.obtain(cast.alice, cast.github)
    (result,) = broker.renew_many(cast.alice, cast.github, bad, 1)
    assert isinstance(result, ConnectionRequiredError)
    assert result.reason == "reauthorization_required"
    assert Connection.objects.get(user=cast.alice).status == "reauthorization_required"


def test_connect_link_is_the_same_until_something_changes(cast: Cast, broker: Broker) -> None:
    first = broker.link(cast.alice, cast.github)
    assert broker.link(cast.alice, cast.github) == first
    session = ConnectSession.objects.get()
    assert first.elicitation_id == str(session.pk)
    assert (session.user, session.integration, session.application) == (cast.alice, cast.github, cast.pr_bot)
    assert first.url not in repr(first)
    connect(cast.github, cast.alice, ALICES)
    wait_until(lambda: broker.find_refusal(cast.alice, cast.github) is None)
    assert broker.link(cast.alice, cast.github) != first


def test_connect_links_differ_by_person_and_application(cast: Cast, broker: Broker) -> None:
    other = make_application(cast.acme, "Other-Bot")
    links = [
        broker.link(cast.alice, cast.github),
        broker.link(cast.bob, cast.github),
        broker.link(cast.alice, cast.github, other),
    ]
    assert len({link.url for link in links}) == 3


def test_connect_link_for_nobody_is_refused(cast: Cast, broker: Broker) -> None:
    with pytest.raises(CredentialUnavailableError):
        broker.link(None, cast.github)
    assert not ConnectSession.objects.exists()


def test_connect_link_for_an_integration_that_nobody_connects_is_refused(cast: Cast, broker: Broker) -> None:
    search = make_integration(cast.acme, "search", auth_mode="server_token")
    with pytest.raises(CredentialUnavailableError):
        broker.link(cast.alice, search)
    assert not ConnectSession.objects.exists()
