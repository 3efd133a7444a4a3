"""Where a request came from, as far as that can be believed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from orgs.http import get_source_address


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (False, "", "10.0.0.1"),
        (False, "203.0.113.9", "10.0.0.1"),
        (True, "", "10.0.0.1"),
        (True, "203.0.113.9", "203.0.113.9"),
        (True, "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        (True, "2001:db8::1", "2001:db8::1"),
        (True, "nonsense", None),
        (True, "fe80::1%eth0", None),
    ],
)
def test_source_address_believes_the_trusted_proxy_alone(
    settings: Any, trusted: bool, forwarded: str, address: str | None
) -> None:
    settings.TRUST_PROXY = trusted
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert get_source_address(RequestFactory(headers=headers).get("/", REMOTE_ADDR="10.0.0.1")) == address


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", "line\nbreak", "ümlaut-ümlaut"])
def test_request_without_a_usable_id_gets_one(given: str) -> None:
    response = Client().get("/.well-known/jwks.json", headers={"X-Request-ID": given} if given else {})
    assert len(response["X-Request-ID"]) == 36


@pytest.mark.django_db
def test_request_keeps_a_usable_id() -> None:
    response = Client().get("/.well-known/jwks.json", headers={"X-Request-ID": "trace-0123456789"})
    assert response["X-Request-ID"] == "trace-0123456789"
