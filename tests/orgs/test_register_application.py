"""Applications are registered, changed, approved, suspended and deleted by an administrator."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEvent
from orgs.models import Application, IssuedToken
from orgs.services.register_application import register_application
from orgs.services.rotate_application_secret import rotate_application_secret
from orgs.services.update_application import (
    approve_application,
    delete_application,
    suspend_application,
    update_application,
)
from tests.factories import Cast, allow_integration, make_cast
from tests.orgs.oauth.conftest import GITHUB, OAuth, get_basic

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def oauth(client: Any) -> OAuth:
    return OAuth(client)


def get_token_status(oauth: OAuth, application: Application, secret: str) -> int:
    form = {"grant_type": "client_credentials", "resource": GITHUB}
    return oauth.post_token(**form, headers=get_basic(application, secret))[0]


def test_register_returns_a_secret_that_works_and_is_not_kept(oauth: OAuth, cast: Cast) -> None:
    registered = register_application(
        organization=cast.acme, name=" Nightly ", owner=cast.carol, grant_types=["client_credentials"]
    )

    application = registered.application
    assert (application.name, application.status) == ("Nightly", "active")
    assert application.client_id.startswith("app_")
    allow_integration(application, cast.github)
    assert get_token_status(oauth, application, registered.client_secret) == 200
    application.refresh_from_db()
    event = AuditEvent.objects.get(type="application.registered")
    for text in (application.client_secret, repr(registered), str(event.details)):
        assert registered.client_secret not in text


def test_register_public_application_has_no_secret(cast: Cast) -> None:
    registered = register_application(
        organization=cast.acme, name="CLI", client_type="public", redirect_uris=["http://127.0.0.1/callback"]
    )
    assert registered.client_secret == ""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"grant_types": []}, "grant_types"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"grant_types": ["client_credentials"], "client_type": "public"}, "grant_types"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": ["http://app.test/"]}, "redirect_uris"),
        ({"redirect_uris": ["https://app.test/#x"]}, "redirect_uris"),
        ({"homepage": "javascript:alert(1)"}, "homepage"),
        ({"owner": "mallory"}, "owner"),
    ],
)
def test_register_with_unacceptable_field_names_it(cast: Cast, fields: dict[str, Any], field: str) -> None:
    given = {"name": "Bot", "redirect_uris": ["https://app.test/callback"], **fields}
    if given.get("owner") == "mallory":
        given["owner"] = cast.mallory
    with pytest.raises(ValidationError) as refused:
        register_application(organization=cast.acme, **given)
    assert field in refused.value.message_dict


def test_update_changes_what_is_given_and_records_what(cast: Cast) -> None:
    update_application(application=cast.pr_bot, redirect_uris=["https://app.test/callback"])
    cast.pr_bot.refresh_from_db()
    assert (cast.pr_bot.name, cast.pr_bot.redirect_uris) == ("PR-Bot", "https://app.test/callback")
    assert AuditEvent.objects.get(type="application.changed").details["changed"] == ["redirect_uris"]


def test_update_with_nothing_records_nothing(cast: Cast) -> None:
    update_application(application=cast.pr_bot, name="PR-Bot")
    assert not AuditEvent.objects.exists()


def test_rotate_secret_ends_the_former_at_once(oauth: OAuth, cast: Cast) -> None:
    registered = register_application(organization=cast.acme, name="Nightly", grant_types=["client_credentials"])
    allow_integration(registered.application, cast.github)
    fresh = rotate_application_secret(application=registered.application)
    assert get_token_status(oauth, registered.application, registered.client_secret) == 401
    assert get_token_status(oauth, registered.application, fresh) == 200
    assert fresh not in str(AuditEvent.objects.get(type="application.secret_rotated").details)
    with pytest.raises(ValidationError):
        rotate_application_secret(application=cast.pr_bot)


def test_suspend_ends_tokens_and_approve_starts_anew(oauth: OAuth, cast: Cast) -> None:
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)
    suspend_application(application=cast.pr_bot)
    assert IssuedToken.objects.get().revoked_at is not None
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[0] == 401
    assert oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).status_code == 400
    approve_application(application=cast.pr_bot)
    assert oauth.get_tokens(cast.pr_bot)["access_token"]


def test_delete_takes_consents_and_tokens_along(oauth: OAuth, cast: Cast) -> None:
    oauth.sign_in(cast.alice)
    oauth.get_tokens(cast.pr_bot)
    delete_application(application=cast.pr_bot)
    assert not IssuedToken.objects.exists()
    assert AuditEvent.objects.get(type="application.deleted").details["name"] == "PR-Bot"
