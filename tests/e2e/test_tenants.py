"""Mallory owns Globex and holds every identifier of Acme. Nothing that answers may give her anything for them."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client

from orgs.models import User
from tests.e2e.tenancy.commands import ABOUT_THE_INSTALLATION, command_lines, our_commands
from tests.e2e.tenancy.everything import MARK, fingerprint, identifiers, make_everything, make_mallory, owned_models
from tests.e2e.tenancy.routes import Route, all_routes, fill

ROUTES = all_routes()
WITH_IDENTIFIER = [route for route in ROUTES if route.has_identifier]
WITHOUT_IDENTIFIER = [route for route in ROUTES if not route.has_identifier]
# Ends Mallory's own session: walked last, if at all, and about nobody's data.
ENDS_SESSION = re.compile(r"log-?out|sign-?out")

# Where people sign in, which anyone may try: it says which provider and whose, and nothing more.
SIGN_IN = [route for route in WITH_IDENTIFIER if route.template.startswith("/sso/{provider_id}/")]

Rows = dict[str, models.Model]


@pytest.fixture
def acme(db: None) -> Rows:
    return make_everything()


@pytest.fixture
def mallory(db: None) -> User:
    return make_mallory()


@pytest.fixture
def browser(mallory: User) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(mallory, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def test_make_everything_covers_every_owned_model(acme: Rows) -> None:
    assert {model._meta.label for model in owned_models()} <= set(acme)


@pytest.mark.parametrize("route", [route for route in WITH_IDENTIFIER if route not in SIGN_IN], ids=str)
def test_address_with_foreign_identifier_is_not_found(route: Route, acme: Rows, browser: Client) -> None:
    before = fingerprint()
    for address in fill(route, acme):
        for method in ("get", "post", "put", "patch", "delete"):
            response = _send(browser, method, address, {})
            assert response.status_code in _acceptable(method, response), f"{method} {address}: {response.status_code}"
            _assert_no_trace(response, acme, address)
    assert fingerprint() == before


@pytest.mark.parametrize("route", WITHOUT_IDENTIFIER, ids=str)
def test_page_shows_nothing_of_another_organization(route: Route, acme: Rows, browser: Client) -> None:
    if ENDS_SESSION.search(route.template):
        pytest.skip("ends the session, shows nobody's data")
    for address, query in product(fill(route, acme), _queries(acme)):
        response = browser.get(address, query)
        assert response.status_code < 500, f"GET {route} {query}: {response.status_code}"
        _assert_no_trace(response, acme, json.dumps(query))


@pytest.mark.parametrize("route", WITHOUT_IDENTIFIER, ids=str)
def test_form_with_foreign_identifiers_changes_nothing(route: Route, acme: Rows, browser: Client) -> None:
    if ENDS_SESSION.search(route.template):
        pytest.skip("ends the session, shows nobody's data")
    before = fingerprint()
    for address, body in product(fill(route, acme), _bodies(acme)):
        response = _send(browser, "post", address, body)
        assert response.status_code < 500, f"POST {route}: {response.status_code}"
        _assert_no_trace(response, acme, json.dumps(body))
        response = browser.post(address, body)
        assert response.status_code < 500, f"POST {route}: {response.status_code}"
        _assert_no_trace(response, acme, json.dumps(body))
    assert fingerprint() == before


@pytest.mark.parametrize("route", SIGN_IN, ids=str)
def test_sign_in_page_names_the_provider_alone(route: Route, acme: Rows) -> None:
    names = [str(acme["orgs.IdentityProvider"]), str(acme["orgs.Organization"])]
    for address in fill(route, acme):
        visitor = Client()
        response = visitor.get(address)
        _assert_no_trace(response, acme, " ".join([address, *names]), names)
        assert "_auth_user_id" not in visitor.session


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in SIGN_IN], ids=str)
def test_anonymous_visitor_sees_nothing(route: Route, acme: Rows) -> None:
    for address in fill(route, acme):
        response = Client(raise_request_exception=False).get(address)
        assert response.status_code < 500, f"GET {address}: {response.status_code}"
        _assert_no_trace(response, acme, address)


def _send(browser: Client, method: str, address: str, body: dict[str, Any]) -> Any:
    kind: dict[str, Any] = {} if method == "get" else {"data": json.dumps(body), "content_type": "application/json"}
    response = browser.generic(method.upper(), address, **kind)
    # The admin's short address of an object leads to its page: that page counts.
    onward = response.headers.get("Location", "")
    return browser.generic(method.upper(), onward, **kind) if onward.startswith(address) else response


def _acceptable(method: str, response: Any) -> tuple[int, ...]:
    """Reading is not found or forbidden. Writing may also be refused before anything is looked up.

    The management API asks for a token before anything else: tests/api/test_tenants.py walks it with one.
    """
    refused = (401, 403, 404, 405, 415)
    if response.status_code in (301, 302) and _leads_nowhere(response):
        return (response.status_code,)
    return refused if method == "get" else (*refused, 400)


def _leads_nowhere(response: Any) -> bool:
    """The admin answers an unknown object with a redirect to its first page, sign-in pages with one to themselves."""
    return bool(re.fullmatch(r"/admin/(\?.*)?|/signin/.*|/admin/login/.*", response.headers["Location"]))


def _assert_no_trace(response: Any, acme: Rows, said: str, granted: Sequence[str] = ()) -> None:
    """What comes back repeats at most what was said and what is `granted`."""
    text = b"".join(response.streaming_content) if response.streaming else response.content
    shown = (text + repr(sorted(response.headers.items())).encode()).decode(errors="replace")
    for words in granted:
        shown = shown.replace(words, "")
    known = [MARK, *identifiers(acme)]
    leaked = [word for word in known if word in shown and (word not in said or (word == MARK and granted))]
    assert not leaked, f"{response.request['PATH_INFO']} shows {leaked}"


def _queries(acme: Rows) -> list[dict[str, str]]:
    organization = str(acme["orgs.Organization"].pk)
    return [
        {},
        {"organization": organization, "organization_id": organization, "organization__id__exact": organization},
        {"q": MARK[:5], "search": MARK[:5]},
    ]


def _bodies(acme: Rows) -> list[dict[str, Any]]:
    """One body that names a row of every kind under every name such a field could have."""
    named: dict[str, Any] = {"name": "Mallory's", "title": "Mallory's", "slug": "mallorys"}
    for label, row in acme.items():
        word = re.sub(r"(?<!^)(?=[A-Z])", "_", label.split(".")[1]).lower()
        camel = word.split("_")[0] + "".join(part.title() for part in word.split("_")[1:])
        named |= {word: str(row.pk), f"{word}_id": str(row.pk), f"{camel}Id": str(row.pk), camel: str(row.pk)}
    return [{}, named]


@pytest.mark.parametrize("name", sorted(set(our_commands()) - ABOUT_THE_INSTALLATION))
def test_command_for_another_organization_finds_nothing(name: str, acme: Rows, mallory: User) -> None:
    before = fingerprint()
    for line in command_lines(name, "globex", acme):
        output = io.StringIO()
        with contextlib.suppress(CommandError, SystemExit):
            call_command(name, *line, stdout=output, stderr=output)
        leaked = [word for word in (MARK, *identifiers(acme)) if word in output.getvalue() and word not in line]
        assert not leaked, f"manage.py {name} {' '.join(line)} shows {leaked}"
    assert fingerprint() == before
