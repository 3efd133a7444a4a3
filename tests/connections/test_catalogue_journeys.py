"""Services of the catalogue from end to end, at a server that does what their entries say: and nothing else goes."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from django.utils import timezone

from audit.models import AuditEvent
from connections import egress
from connections.catalogue.loading import find_entry
from connections.errors import ConnectionsError, DestinationRefusedError, KeyRefusedError, ReauthorizationRequiredError
from connections.filling import fill
from connections.models import Connection, ConnectSession, Integration
from connections.services.add_from_catalogue import add_from_catalogue
from connections.services.complete_connect import complete_connect
from connections.services.confirm_revocations import confirm_revocation
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_integration import discover_integration
from connections.services.refresh import UsableCredential, get_credential
from connections.services.revoke import revoke_connection
from connections.services.set_oauth_client import set_oauth_client
from connections.services.start_authorization import start_authorization
from tests.connections.imitation import ACCOUNT, CLIENT_ID, CLIENT_SECRET, Imitation, State
from tests.connections.journey import BROWSER, begin
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("private_networks")

# What the operator enters, and for what each service stands here.
OAUTH: dict[str, dict[str, str]] = {
    "github": {},  # errors come with 200, nothing ends, nothing renews
    "gitlab": {"host": "git.acme.test"},  # a host of one's own
    "bitbucket": {},  # says invalid_request where the grant is over
    "linear": {},  # commas between scopes, the account by GraphQL
    "google-drive": {},  # offline access by parameters, a static refresh token
    "slack": {},  # nested tokens of another type, another name for scope, revocation by the token itself
    "discord": {},
    "zendesk": {"subdomain": "acme"},  # JSON with a number in it, a URL for each customer
    "jira": {},  # the site is asked for in a call of its own
    "notion": {},  # JSON and basic, a header with each call, no end is named
    "asana": {},
    "todoist": {},  # revocation by JSON and basic, unlike its token call
    "airtable": {},
    "figma": {},  # another place for refreshing
    "dropbox": {},  # the account by POST of null, revocation without a body
    "salesforce": {},  # the place for calls comes with the token
    "hubspot": {},  # the account by a form with the client's secret in it
    "mailchimp": {},  # another scheme for the account, which tells where calls go
    "stripe": {},  # revocation by the account's identifier, under the client's secret
    "shopify": {"shop": "acme-store"},  # tokens in a header of its own
    "square": {},  # the end as a date, revocation under the client's secret
    "quickbooks": {},  # the company comes with the redirect
    "xero": {},  # the tenant of the account goes into a header
    "outlook": {"tenant": "acme.test"},  # scopes are sent when refreshing
    "monday": {},  # no PKCE
    "reddit": {},
}
KEYS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "openai": ({}, {"token": "sk-right"}),
    "anthropic": ({}, {"token": "sk-right"}),
    "linear": ({}, {"token": "lin-right"}),
    "datadog": ({"site": "datadoghq.eu"}, {"token": "api-right", "application_key": "app-right"}),
    "twilio": ({}, {"username": "AC1", "password": "right"}),
    "zendesk": ({"subdomain": "acme"}, {"email": "alice@acme.test", "token": "right"}),
    "freshdesk": ({"subdomain": "acme"}, {"token": "right"}),
    "trello": ({}, {"api_key": "app", "token": "right"}),
    "figma": ({}, {"token": "right"}),
    "slack": ({}, {"token": "xoxp-right"}),
}


@pytest.fixture(scope="module")
def imitation() -> Iterator[Imitation]:
    imitation = Imitation()
    yield imitation
    imitation.close()


def add(
    cast: Cast, imitation: Imitation, slug: str, auth_mode: str, values: dict[str, str]
) -> tuple[Integration, State]:
    known = find_entry(slug)
    assert known is not None
    entry = imitation.relocate(known)
    integration = add_from_catalogue(
        organization=cast.acme, slug="service", entry=entry, use="api", auth_mode=auth_mode, parameters=values
    )
    state = imitation.imitate(entry, values)
    state.answers_200 = slug in ("github", "slack")
    if auth_mode == "oauth":
        set_oauth_client(integration=integration, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    return integration, state


def connect(cast: Cast, integration: Integration) -> Connection:
    session: ConnectSession = begin(cast.alice, integration)
    answer = httpx2.get(start_authorization(session=session, browser=BROWSER), follow_redirects=False)
    assert answer.status_code == 302, answer.text
    session.refresh_from_db()
    return complete_connect(session=session, parameters=dict(parse_qsl(urlsplit(answer.headers["Location"]).query)))


def obtain(connection: Connection, *, bad: UsableCredential | None = None) -> UsableCredential:
    generation = bad.generation if bad is not None else None
    deadline = time.monotonic() + 5
    return get_credential(connection_id=connection.pk, known_bad_generation=generation, deadline=deadline)


def call(integration: Integration, credential: UsableCredential) -> int:
    """Call the service's API as an application does that was handed the credential."""
    url = f"{fill(integration.url, credential.values)}/imitated/thing"
    return egress.request("GET", url, headers=credential.headers).status


@pytest.mark.parametrize("slug", OAUTH)
def test_oauth_entry_connects_calls_renews_and_ends(cast: Cast, imitation: Imitation, slug: str) -> None:
    integration, state = add(cast, imitation, slug, "oauth", OAUTH[slug])
    oauth = state.entry.oauth
    assert oauth is not None

    connection = connect(cast, integration)

    assert connection.account == (ACCOUNT if state.entry.account else "")
    first = obtain(connection)
    assert call(integration, first) == 200
    if oauth.refresh_token in ("rotating", "static"):
        assert connection.is_renewable
        second = obtain(connection, bad=first)
        third = obtain(connection, bad=second)
        assert (call(integration, third), third.generation) == (200, 3)
        assert third.values == first.values
        state.refresh.clear()
        with pytest.raises(ReauthorizationRequiredError):
            obtain(connection, bad=third)
        state.refresh = {"": False}
    else:
        assert not connection.is_renewable
        with pytest.raises(ReauthorizationRequiredError):
            obtain(connection, bad=first)
    assert state.refusals == [entry for entry in state.refusals if "invalid" in entry]

    connection = connect(cast, integration)
    live = [token for token in (*state.refresh, *state.access) if token]
    revoke_connection(connection=connection, reason="done")
    receipt = connection.revocations.latest("created_at")
    if oauth.revocation is None:
        assert (receipt.status, state.revoked) == ("unsupported", [])
    else:
        confirm_revocation(revocation=receipt)
        assert receipt.status == "revoked", (receipt.error, state.refusals)
        assert state.revoked
    shown = str(list(AuditEvent.objects.values("details", "account")))
    assert not [secret for secret in (*live, CLIENT_SECRET) if secret in shown]


@pytest.mark.parametrize("slug", KEYS)
def test_key_entry_tries_the_key_before_it_is_stored(cast: Cast, imitation: Imitation, slug: str) -> None:
    values, right = KEYS[slug]
    integration, state = add(cast, imitation, slug, "user_token", values)
    state.key = right
    discover_integration(integration=integration)
    given = right if len(right) > 1 else {"key": right["token"]}
    wrong = {name: "wrong" if name == list(given)[-1] else value for name, value in given.items()}

    with pytest.raises(KeyRefusedError):
        connect_with_key(user=cast.alice, integration=integration, key=wrong)
    assert not Connection.objects.exists()

    connection = connect_with_key(user=cast.alice, integration=integration, key=given)

    check = state.entry.key.check if state.entry.key else None
    assert check is not None
    assert connection.account == (ACCOUNT if check.path else "")
    credential = obtain(connection)
    assert call(integration, credential) == 200
    assert credential.values == integration.parameters
    assert not [secret for secret in right.values() if secret in str(list(AuditEvent.objects.values("details")))]


def test_end_that_is_not_named_is_what_the_entry_says(cast: Cast, imitation: Imitation) -> None:
    integration, state = add(cast, imitation, "zendesk", "oauth", OAUTH["zendesk"])
    state.omits_expiry = True
    connection = connect(cast, integration)
    assert connection.expires_at is not None
    assert abs(connection.expires_at - timezone.now() - dt.timedelta(seconds=1800)) < dt.timedelta(seconds=60)


def test_service_that_is_not_asked_for_offline_access_gives_no_refresh_token(cast: Cast, imitation: Imitation) -> None:
    """The server is strict: were the entry's parameters not sent, the connection would die with its first token."""
    integration, _ = add(cast, imitation, "google-drive", "oauth", {})
    integration.dialect["oauth"]["authorize_parameters"].pop("access_type")
    integration.save()
    assert not connect(cast, integration).is_renewable


def test_dialect_left_out_is_refused_by_the_service(cast: Cast, imitation: Imitation) -> None:
    integration, state = add(cast, imitation, "notion", "oauth", {})
    integration.dialect["oauth"].pop("token_format")
    integration.save()
    with pytest.raises(ConnectionsError):
        connect(cast, integration)
    assert state.refusals == ["/api.notion.com/v1/oauth/token: another kind of body"]
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    "told", ["", "http://169.254.169.254/", "javascript:alert(1)", "{client_secret}", "https://a b"]
)
def test_address_from_the_service_that_is_none_connects_nothing(cast: Cast, imitation: Imitation, told: str) -> None:
    integration, state = add(cast, imitation, "salesforce", "oauth", {})
    state.told["instance_url"] = told
    if told.startswith("http://169"):
        connection = connect(cast, integration)
        with pytest.raises(DestinationRefusedError):
            call(integration, obtain(connection))
        return
    with pytest.raises(ConnectionsError, match="instance_url"):
        connect(cast, integration)
    assert not Connection.objects.exists()
    event = AuditEvent.objects.get(type="connection.refused")
    assert "instance_url" in event.details["reason"]
