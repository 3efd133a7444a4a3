"""Links with which applications ask people to connect, and products that send theirs (THREATS 8, 18)."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from audit.models import AuditEvent
from connections.errors import ConnectLinkError
from connections.models import ConnectInvitation, Connection, ConnectSession, ExternalAuth, Integration
from connections.services.begin_connect import begin_connect
from connections.services.forget_sessions import forget_sessions
from connections.services.invite_to_connect import invite_to_connect
from connections.services.set_external_auth import set_external_auth
from connections.services.update_integration import update_integration
from orgs.models import Application, Identity, User
from orgs.services.suspend_person import suspend_membership
from tests.factories import Cast, allow_integration, make_application, make_integration

SignIn = Callable[[User], Client]
BACK = "https://product.test/done"


@pytest.fixture
def desk(cast: Cast) -> Integration:
    made = make_integration(cast.acme, "desk", auth_mode="user_token", category="internal_mcp_credentials")
    allow_integration(cast.pr_bot, made)
    return made


def invite(cast: Cast, **options: Any) -> str:
    url = urlsplit(invite_to_connect(user=cast.alice, application=cast.pr_bot, **options).url)
    assert url.path == "/oauth/connect"
    return f"{url.path}?{url.query}"


def test_invitation_leads_through_every_integration_and_back(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    browser, link = sign_in(cast.alice), invite(cast, return_url=BACK)
    page = browser.get(link, follow=True)
    address = page.redirect_chain[-1][0]
    assert "session=" not in address
    words = page.content.decode()
    assert "Connect what PR-Bot needs" in words
    assert "Github" in words
    begun = browser.post(address, {"integration": str(desk.pk)})
    done = browser.post(begun["Location"], {"key": "sk-hush-hush"})
    assert done["Location"] == address
    assert Connection.objects.get(user=cast.alice, integration=desk).status == "active"
    assert browser.post(address, {})["Location"] == BACK
    assert browser.get(address).status_code == 410
    assert browser.get(link).status_code == 410
    invitation = ConnectInvitation.objects.get()
    assert invitation.used_at is not None
    shown = json.dumps(list(AuditEvent.objects.values("details")), default=str)
    assert link.partition("session=")[2] not in shown + invitation.token_digest
    started = AuditEvent.objects.filter(type="connection.started").earliest("occurred_at")
    assert (started.user_id, started.application_id) == (cast.alice.pk, cast.pr_bot.pk)


def test_invitation_for_one_integration_shows_that_one(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    page = sign_in(cast.alice).get(invite(cast, integration=desk), follow=True)
    assert "Desk" in page.content.decode()
    assert "Github" not in page.content.decode()


@pytest.mark.parametrize("who", ["bob", "mallory"])
def test_invitation_opened_by_another_person_is_not_found(
    cast: Cast, desk: Integration, sign_in: SignIn, who: str
) -> None:
    link = invite(cast)
    other = sign_in(getattr(cast, who))
    answer = other.get(link, follow=True)
    assert answer.status_code == 404
    assert "PR-Bot" not in answer.content.decode()
    invitation = ConnectInvitation.objects.get()
    assert invitation.opened_at is None
    for method in ("get", "post"):
        address = f"/oauth/connect?invitation={invitation.pk}"
        assert getattr(other, method)(address, {"integration": str(desk.pk)}).status_code == 404
    assert not ConnectSession.objects.exists()
    refused = AuditEvent.objects.filter(type="connection.refused")
    assert {event.details["reason"] for event in refused} == {"another person"}
    assert sign_in(cast.alice).get(link).status_code == 302


def test_invitation_is_good_in_the_browser_that_came_first(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    first, second, link = sign_in(cast.alice), sign_in(cast.alice), invite(cast)
    address = first.get(link)["Location"]
    assert second.get(link).status_code == 410
    assert second.get(address).status_code == 410
    assert second.post(address, {"integration": str(desk.pk)}).status_code == 410
    assert first.get(link)["Location"] == address  # coming back in the same browser loses nothing
    assert not ConnectSession.objects.exists()


def test_invitation_ends(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    browser, link = sign_in(cast.alice), invite(cast)
    address = browser.get(link)["Location"]
    ConnectInvitation.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    for late in (link, address):
        page = browser.get(late)
        assert page.status_code == 410
        assert "kontext_connect_link_ended" in page.content.decode()
    assert "You can mend this yourself." in page.content.decode()
    ConnectInvitation.objects.update(expires_at=timezone.now() - dt.timedelta(days=2))
    forget_sessions()
    assert not ConnectInvitation.objects.exists()


def test_suspended_person_and_suspended_application_get_nothing(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    browser, link = sign_in(cast.alice), invite(cast)
    Application.objects.filter(pk=cast.pr_bot.pk).update(status="suspended")
    assert browser.get(link).status_code == 410
    cast.pr_bot.refresh_from_db()
    with pytest.raises(ConnectLinkError):
        invite(cast)
    Application.objects.filter(pk=cast.pr_bot.pk).update(status="active")
    cast.pr_bot.refresh_from_db()
    suspend_membership(membership=cast.alice.memberships.get())
    with pytest.raises(ConnectLinkError):
        invite(cast)


def test_invitation_reaches_no_other_organization(cast: Cast, sign_in: SignIn) -> None:
    with pytest.raises(ConnectLinkError):
        invite_to_connect(user=cast.mallory, application=cast.pr_bot)
    with pytest.raises(ValidationError):
        invite_to_connect(user=cast.alice, application=cast.pr_bot, integration=cast.globex_github)
    browser = sign_in(cast.alice)
    address = browser.get(invite(cast))["Location"]
    assert browser.post(address, {"integration": str(cast.globex_github.pk)}).status_code == 404
    unneeded = make_integration(cast.acme, "unneeded")
    assert browser.post(address, {"integration": str(unneeded.pk)}).status_code == 404
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError):
            ConnectInvitation.objects.update(application=cast.spy_bot)
        transaction.set_rollback(True)


def test_hosted_page_takes_the_link_to_one_integration_too(cast: Cast, desk: Integration, sign_in: SignIn) -> None:
    token = begin_connect(user=cast.alice, integration=desk).url.rstrip("/").rpartition("/")[2]
    page = sign_in(cast.alice).get(f"/oauth/connect?session={token}", follow=True)
    assert "Connect Desk" in page.content.decode()
    assert sign_in(cast.bob).get(f"/oauth/connect?session={token}", follow=True).status_code == 404
    assert Client().get(f"/oauth/connect?session={token}")["Location"].startswith("/signin/?next=/oauth/connect")


@pytest.mark.parametrize("query", ["", "?session=", "?session=made-up", "?invitation=1", "?invitation=%00"])
def test_made_up_links_are_not_found(cast: Cast, sign_in: SignIn, query: str) -> None:
    assert sign_in(cast.alice).get(f"/oauth/connect{query}", follow=True).status_code == 404


def test_no_integration_takes_the_gateways_own_address(cast: Cast) -> None:
    with pytest.raises(ValidationError) as caught:
        update_integration(integration=cast.github, slug="connect-session")
    assert "slug" in caught.value.message_dict


# A product that signs its people in by itself

ISSUER, SUBJECT, API_KEY = "https://login.product.test", "alice-1", "partner-key-" + "k" * 32


class Product:
    """The product's keys, at a real address, and the tokens that it makes with them."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"}, private=True)
        self.fetched = 0
        product = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                product.fetched += 1
                body = json.dumps({"keys": [product.key.as_dict(private=False)]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.jwks_url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"

    def sign(self, *, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "kontext", "sub": SUBJECT, "iat": now, "exp": now + 300, "plan": "pro"}
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        header = {"alg": "ES256", "kid": "one", **(header or {})}
        return jwt.encode(header, claims, key or self.key, algorithms=[header["alg"]])


@pytest.fixture
def product(private_networks: None) -> Iterator[Product]:
    cache.clear()
    product = Product()
    yield product
    product.server.shutdown()
    product.server.server_close()


@pytest.fixture
def app(cast: Cast, product: Product) -> Application:
    made = make_application(cast.acme, "Product", client_type=Application.CLIENT_CONFIDENTIAL)
    Identity.objects.create(user=cast.alice, issuer=ISSUER, subject=SUBJECT)
    set_external_auth(
        application=made,
        issuer=ISSUER,
        jwks_url=product.jwks_url,
        audience="kontext",
        required_claims={"plan": "pro"},
        allowed_return_urls=[BACK],
        partner_api_key=API_KEY,
    )
    return made


def ask(app: Application, token: str, *, key: str = API_KEY, body: Any = None) -> Any:
    given = {"applicationId": app.client_id, "returnUrl": BACK} if body is None else body
    headers = {"X-Api-Key": key, "Authorization": f"Bearer {token}"}
    return Client().post(
        "/partner/connect-session", json.dumps(given), content_type="application/json", headers=headers
    )


def test_product_gets_a_link_that_only_its_person_opens(
    cast: Cast, app: Application, product: Product, sign_in: SignIn
) -> None:
    answer = ask(app, product.sign())
    assert answer.status_code == 201, answer.content
    assert set(answer.json()) == {"connectUrl", "sessionId", "expiresAt"}
    url = urlsplit(answer.json()["connectUrl"])
    assert sign_in(cast.bob).get(f"{url.path}?{url.query}", follow=True).status_code == 404
    browser = sign_in(cast.alice)
    address = browser.get(f"{url.path}?{url.query}")["Location"]
    assert browser.post(address, {})["Location"] == BACK
    assert ask(app, product.sign()).status_code == 201
    assert product.fetched == 1
    event = AuditEvent.objects.filter(type="connection.started").latest("occurred_at")
    assert (event.user_id, event.application_id) == (cast.alice.pk, app.pk)


def test_product_whose_token_or_key_is_not_right_gets_nothing(cast: Cast, app: Application, product: Product) -> None:
    now = int(time.time())
    stranger = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
    secret = OctKey.import_key(json.dumps(product.key.as_dict(private=False)))
    attempts = {
        "no token": "",
        "nonsense": "a.b.c",
        "another's key": product.sign(key=stranger),
        "the public key as a secret": product.sign(key=secret, header={"alg": "HS256"}),
        "another issuer": product.sign(iss="https://elsewhere.test"),
        "another audience": product.sign(aud="elsewhere"),
        "over": product.sign(exp=now - 60),
        "too old": product.sign(iat=now - 3600),
        "of the future": product.sign(iat=now + 3600),
        "without an end": product.sign(exp=None),
        "without a person": product.sign(sub=None),
        "a number as person": product.sign(sub=1),
        "a claim less": product.sign(plan=None),
        "another claim": product.sign(plan="free"),
    }
    for name, token in attempts.items():
        answer = ask(app, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "kontext_partner_refused"), name
        assert not token or token not in answer.content.decode()
    unsigned = product.sign().rpartition(".")[0] + "."
    assert ask(app, unsigned).status_code == 401
    assert ask(app, product.sign(), key=API_KEY + "x").status_code == 401
    assert ask(app, product.sign(), key="").status_code == 401
    cache.clear()
    assert ask(cast.spy_bot, product.sign()).status_code == 401
    assert not ConnectInvitation.objects.exists()


def test_product_that_fails_too_often_has_to_wait(app: Application, product: Product) -> None:
    answers = [ask(app, product.sign(), key="wrong").status_code for _ in range(22)]
    assert answers[:20] == [401] * 20
    assert answers[-1] == 429
    assert ask(app, product.sign()).status_code == 429


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "kontext_validation_error"),
        ({"returnUrl": BACK}, "kontext_validation_error"),
        ({"applicationId": 1}, "kontext_validation_error"),
        ({"applicationId": "APP", "more": "x"}, "kontext_validation_error"),
        ({"applicationId": "APP", "returnUrl": "https://evil.test/"}, "kontext_return_url_refused"),
        ({"applicationId": "APP", "returnUrl": f"{BACK}?x=1"}, "kontext_return_url_refused"),
    ],
)
def test_product_that_asks_wrongly_is_told_how(app: Application, product: Product, body: Any, code: str) -> None:
    if isinstance(body, dict) and body.get("applicationId") == "APP":
        body = {**body, "applicationId": app.client_id}
    answer = ask(app, product.sign(), body=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["requestId"]
    assert not ConnectInvitation.objects.exists()


def test_person_whom_nobody_knows_gets_no_link(cast: Cast, app: Application, product: Product) -> None:
    answer = ask(app, product.sign(sub="somebody-else"))
    assert (answer.status_code, answer.json()["code"]) == (403, "kontext_person_unknown")
    Identity.objects.create(user=cast.mallory, issuer=ISSUER, subject="mallory-1")
    assert ask(app, product.sign(sub="mallory-1")).status_code == 403
    assert ask(app, product.sign(sub=SUBJECT.upper())).status_code == 403
    suspend_membership(membership=cast.alice.memberships.get())
    assert ask(app, product.sign()).status_code == 403
    assert not ConnectInvitation.objects.exists()


def test_external_sign_in_is_set_with_what_can_hold(cast: Cast, app: Application, product: Product) -> None:
    row = ExternalAuth.objects.get()
    assert API_KEY not in str(vars(row))
    assert API_KEY not in json.dumps(list(AuditEvent.objects.values("details")), default=str)
    right: dict[str, Any] = {"issuer": ISSUER, "jwks_url": product.jwks_url, "audience": "kontext"}
    wrong: list[tuple[Application, dict[str, Any], str]] = [
        (cast.pr_bot, {"partner_api_key": API_KEY}, "application"),
        (app, {"partner_api_key": "short"}, "partner_api_key"),
        (app, {"jwks_url": "ftp://keys.test/"}, "jwks_url"),
        (app, {"allowed_algorithms": ["HS256"]}, "allowed_algorithms"),
        (app, {"allowed_algorithms": ["none"]}, "allowed_algorithms"),
        (app, {"allowed_return_urls": ["javascript:alert(1)"]}, "allowed_return_urls"),
        (app, {"allowed_return_urls": ["http://product.test/"]}, "allowed_return_urls"),
        (app, {"max_token_age_seconds": 1}, "max_token_age_seconds"),
    ]
    for application, changes, field in wrong:
        with pytest.raises(ValidationError) as caught:
            set_external_auth(application=application, **{**right, **changes})
        assert field in caught.value.message_dict
    set_external_auth(application=app, is_enabled=False, **right)
    assert ask(app, product.sign()).status_code == 401
