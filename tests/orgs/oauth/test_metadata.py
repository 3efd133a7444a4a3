"""RFC 8414 metadata tells the truth, the keys rotate without a token failing."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from orgs.models import SigningKey
from orgs.oauth.keys import forget_signing_key
from orgs.services.rotate_signing_keys import rotate_signing_keys
from tests.factories import Cast
from tests.orgs.oauth.conftest import OAuth, get_claims

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["oauth-authorization-server", "openid-configuration"])
def test_metadata_is_true(path: str) -> None:
    response = Client().get(f"/.well-known/{path}")
    document = response.json()

    assert document["issuer"] == settings.PUBLIC_URL
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
    assert "none" in document["token_endpoint_auth_methods_supported"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert {"authorization_code", "refresh_token", "client_credentials"} <= set(document["grant_types_supported"])
    assert not {"implicit", "password"} & set(document["grant_types_supported"])
    assert response["Access-Control-Allow-Origin"] == "*"
    for name in ("authorization", "token", "revocation", "introspection", "registration"):
        url = document[f"{name}_endpoint"]
        assert Client().options(url.removeprefix(settings.PUBLIC_URL)).status_code != 404


def test_jwks_holds_public_keys_alone() -> None:
    keys = Client().get("/.well-known/jwks.json").json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        assert "d" not in key


def test_private_key_is_sealed() -> None:
    Client().get("/.well-known/jwks.json")
    for key in SigningKey.objects.all():
        assert b"PRIVATE" not in bytes(key.private_key)
        assert "d" not in key.public_jwk


def test_rotation_signs_with_a_key_published_before_and_keeps_the_former(oauth: OAuth, cast: Cast) -> None:
    oauth.sign_in(cast.alice)
    before = oauth.get_tokens(cast.pr_bot)["access_token"]
    published = {key["kid"] for key in Client().get("/.well-known/jwks.json").json()["keys"]}

    active = rotate_signing_keys()
    forget_signing_key()
    after = oauth.get_tokens(cast.pr_bot)["access_token"]

    assert active.kid in published
    assert get_claims(before)[0]["kid"] != get_claims(after)[0]["kid"] == active.kid
    states = sorted(SigningKey.objects.values_list("state", flat=True))
    assert states == ["active", "next", "retired"]


def test_rotation_forgets_keys_retired_long_ago() -> None:
    rotate_signing_keys()
    rotate_signing_keys()
    SigningKey.objects.filter(state="retired").update(retired_at="2020-01-01T00:00:00Z")
    rotate_signing_keys()
    assert SigningKey.objects.filter(state="retired").count() == 1
