from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from orgs.models import User
from tests.factories import Cast, make_cast


def sign_in(user: User) -> Client:
    browser = Client(raise_request_exception=True)
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def submit(browser: Client, address: str, /, **changes: Any) -> Any:
    """Open a page with a form, change some of its fields, and send it with all the others as they stand."""
    context = browser.get(address).context
    shown = [context["adminform"].form, *(inline.formset for inline in context["inline_admin_formsets"])]
    values: dict[str, Any] = {}
    for part in shown:
        forms = [part.management_form, *part.initial_forms] if hasattr(part, "management_form") else [part]
        for form in forms:
            values |= {form.add_prefix(name): form[name].value() for name in form.fields}
    sent = {name: value for name, value in values.items() if value is not None and value is not False}
    return browser.post(address, {**sent, **changes})


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
