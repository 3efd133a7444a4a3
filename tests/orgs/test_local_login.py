"""Passwords of local administrators are guessed at slowly, and visibly (THREATS 42)."""

from __future__ import annotations

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _root() -> None:
    User.objects.create_superuser("root", PASSWORD)


def log_in(password: str, username: str = "root") -> bool:
    browser = Client()
    browser.post("/signin/", {"with": "password", "username": username, "password": password})
    return "_auth_user_id" in browser.session


def test_right_password_signs_in_and_is_recorded() -> None:
    assert log_in(PASSWORD)
    assert AuditEvent.objects.get(type="person.signed_in").details == {"method": "password"}


def test_wrong_password_is_recorded_without_it() -> None:
    assert not log_in("guess-1")
    event = AuditEvent.objects.get(type="person.sign_in_refused")
    assert event.details == {"method": "password", "reason": "wrong_password"}


@pytest.mark.parametrize("username", ["root", "nobody"])
def test_guessing_is_limited_even_for_the_right_password(username: str) -> None:
    for number in range(10):
        assert not log_in(f"guess-{number}", username)
    assert not log_in(PASSWORD)
    assert AuditEvent.objects.filter(details__reason="too_many_attempts").exists()
