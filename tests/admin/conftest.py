from __future__ import annotations

import pytest
from django.test import Client

from orgs.models import User
from tests.factories import Cast, make_cast


def sign_in(user: User) -> Client:
    browser = Client(raise_request_exception=True)
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def carol(cast: Cast) -> Client:
    """Acme's administrator at her browser."""
    return sign_in(cast.carol)


@pytest.fixture
def root(db: None) -> Client:
    """The installation's administrator, who belongs to no organization."""
    return sign_in(User.objects.create_superuser("root", "a long password", name="Root"))
