from __future__ import annotations

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings

from kontext import error_pages
from kontext.middleware import PORTAL


@pytest.mark.django_db
def test_unknown_address_gets_a_page_with_the_request_id(client: Client) -> None:
    answer = client.get("/nothing-here/", headers={"X-Request-ID": "asked-by-the-test"})
    assert answer.status_code == 404
    assert answer["X-Request-ID"] == "asked-by-the-test"
    assert b"asked-by-the-test" in answer.content
    assert b"kontext_not_found" in answer.content


@pytest.mark.parametrize("given", ["short", "with space in it", "<script>alert(1)</script>", "x" * 65])
def test_malformed_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/styleguide/x", headers={"X-Request-ID": given})
    assert answer["X-Request-ID"] != given
    assert given.encode() not in answer.content


def test_unknown_api_address_gets_json_with_the_same_code(client: Client) -> None:
    answer = client.get("/api/v1/nothing-here", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "kontext_not_found"
    assert answer.json()["requestId"] == answer["X-Request-ID"]


@pytest.mark.django_db
def test_form_without_csrf_token_is_explained_without_the_reason() -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/signin/", {"email": "alice@acme.test"})
    assert answer.status_code == 403
    assert b"kontext_form_expired" in answer.content
    assert b"CSRF" not in answer.content


@pytest.mark.django_db
@override_settings(DEBUG=False)
def test_error_of_our_own_says_nothing_of_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a secret that must not be shown")

    monkeypatch.setattr(SessionStore, "load", fail)
    client = Client(raise_request_exception=False)
    client.cookies["kontext_session"] = "anything"
    answer = client.get("/")
    assert answer.status_code == 500
    assert answer["X-Request-ID"].encode() in answer.content
    assert b"secret" not in answer.content


def test_error_page_of_our_own_needs_no_database() -> None:
    request: HttpRequest = RequestFactory().get("/")
    assert error_pages.server_error(request).status_code == 500


@pytest.mark.django_db
def test_pages_forbid_inline_code_foreign_sources_and_framing(client: Client) -> None:
    answer = client.get("/signin/")
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer["Cache-Control"]
    for forbidden in (b"<style", b" style=", b" onclick=", b"<script>"):
        assert forbidden not in answer.content


def test_only_admin_pages_may_evaluate_code() -> None:
    assert "unsafe" not in " ".join(PORTAL.values())
