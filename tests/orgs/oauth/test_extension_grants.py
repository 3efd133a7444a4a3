"""A floor above adds a grant to the token endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Application
from orgs.oauth import grants
from orgs.oauth.errors import OAuthError
from tests.factories import Cast, make_application
from tests.orgs.oauth.conftest import OAuth, get_basic

pytestmark = pytest.mark.django_db
GRANT = "urn:test:grant"
SECRET = "s3cret-" * 8


@pytest.fixture(autouse=True)
def _grant(db: None) -> Iterator[None]:
    savepoints = len(connection.savepoint_ids)

    def answer(request: HttpRequest, application: Application | None) -> Mapping[str, Any]:
        assert len(connection.savepoint_ids) == savepoints, "a handler must be free to commit"
        if request.POST.get("subject_token") == "bad":
            raise OAuthError("integration_required", "connect it first")
        return {"access_token": "x", "client": application.client_id if application else None}

    grants.register_grant(GRANT, answer)
    yield
    del grants._handlers[GRANT]


@pytest.fixture
def server(cast: Cast) -> Application:
    return make_application(
        cast.acme, "Server", client_type="confidential", client_secret=SECRET, grant_types=[GRANT], redirect_uris=""
    )


def test_grant_is_advertised() -> None:
    document = Client().get("/.well-known/oauth-authorization-server").json()
    assert GRANT in document["grant_types_supported"]


def test_authenticated_client_is_handed_over(oauth: OAuth, server: Application) -> None:
    status, answer = oauth.post_token(grant_type=GRANT, headers=get_basic(server, SECRET))
    assert (status, answer["client"]) == (200, server.client_id)


def test_public_client_names_itself(oauth: OAuth, cast: Cast) -> None:
    public = make_application(cast.acme, "CLI", grant_types=[GRANT])
    assert oauth.post_token(grant_type=GRANT, client_id=public.client_id)[1]["client"] == public.client_id


def test_request_without_client_is_left_to_the_handler(oauth: OAuth) -> None:
    assert oauth.post_token(grant_type=GRANT) == (200, {"access_token": "x", "client": None})


def test_wrong_secret_never_reaches_the_handler(oauth: OAuth, server: Application) -> None:
    status, answer = oauth.post_token(grant_type=GRANT, headers=get_basic(server, "wrong"))
    assert (status, answer["error"]) == (401, "invalid_client")


def test_confidential_client_can_not_just_name_itself(oauth: OAuth, server: Application) -> None:
    assert oauth.post_token(grant_type=GRANT, client_id=server.client_id)[0] == 401


def test_application_without_the_grant_is_refused(oauth: OAuth, cast: Cast) -> None:
    status, answer = oauth.post_token(grant_type=GRANT, client_id=cast.pr_bot.client_id)
    assert (status, answer["error"]) == (400, "unauthorized_client")


def test_refusal_of_the_handler_is_answered_and_recorded(oauth: OAuth, server: Application) -> None:
    status, answer = oauth.post_token(grant_type=GRANT, subject_token="bad", headers=get_basic(server, SECRET))
    assert (status, answer) == (
        400,
        {"error": "integration_required", "error_description": "connect it first"},
    )
    event = AuditEvent.objects.get(type="token.refused")
    assert (event.application_id, event.details["reason"]) == (server.pk, "integration_required")
