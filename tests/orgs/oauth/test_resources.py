"""A token is for exactly one resource, and works at no other (THREATS 1-3, the issuing side)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from orgs.models import Delegation
from orgs.oauth.redirects import find_redirect_uri_problem, is_redirect_uri_registered
from orgs.oauth.resources import get_management_resource, is_request_allowed
from orgs.oauth.verify import find_valid_token
from tests.factories import Cast, allow_integration, make_integration
from tests.orgs.oauth.conftest import GITHUB, OAuth, Proof, get_claims

LINEAR = GITHUB.replace("github", "linear")
JOINED = f"{settings.GATEWAY_URL}/mcp"


@pytest.fixture
def alice(oauth: OAuth, cast: Cast) -> None:
    Delegation.objects.all().delete()
    allow_integration(cast.pr_bot, make_integration(cast.acme, "linear"))
    oauth.sign_in(cast.alice)


@pytest.mark.usefixtures("alice")
class TestSeveral:
    def test_are_consented_to_at_once_and_redeemed_one_by_one(self, oauth: OAuth, cast: Cast) -> None:
        proof = Proof()
        code = oauth.get_code(cast.pr_bot, proof, resource=[GITHUB, LINEAR])
        status, answer = oauth.redeem(cast.pr_bot, code, proof)
        assert (status, answer["error"]) == (400, "invalid_target")

        _, first = oauth.redeem(cast.pr_bot, code, proof, resource=GITHUB)
        _, second = oauth.refresh(cast.pr_bot, first["refresh_token"], resource=LINEAR)

        assert get_claims(first["access_token"])[1]["aud"] == GITHUB
        assert get_claims(second["access_token"])[1]["aud"] == LINEAR

    def test_at_the_token_endpoint_are_refused(self, oauth: OAuth, cast: Cast) -> None:
        proof = Proof()
        code = oauth.get_code(cast.pr_bot, proof, resource=[GITHUB, LINEAR])
        status, answer = oauth.redeem(cast.pr_bot, code, proof, resource=[GITHUB, LINEAR])
        assert (status, answer["error"]) == (400, "invalid_target")

    def test_joined_is_a_resource_of_its_own(self, oauth: OAuth, cast: Cast) -> None:
        proof = Proof()
        code = oauth.get_code(cast.pr_bot, proof, resource=JOINED)
        status, answer = oauth.redeem(cast.pr_bot, code, proof, resource=GITHUB)
        assert (status, answer["error"]) == (400, "invalid_target")
        _, answer = oauth.redeem(cast.pr_bot, code, proof)
        assert get_claims(answer["access_token"])[1]["aud"] == JOINED


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "resource",
    [
        f"{GITHUB}/",
        f"{GITHUB}/../linear",
        f"{GITHUB}x",
        f"{GITHUB}?x=1",
        f"{GITHUB}#x",
        GITHUB.replace("/mcp/github", "/mcp/GITHUB"),
        GITHUB.replace("/mcp/github", "/mcp//github"),
        GITHUB.replace("/mcp/github", "/mcp/%67ithub"),
        GITHUB.replace("http://", "HTTP://"),
        JOINED + "/",
        settings.GATEWAY_URL,
        "github",
        "https://evil.test/mcp/github",
        "",
    ],
)
def test_no_other_spelling_is_the_resource(oauth: OAuth, cast: Cast, resource: str) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    status, answer = oauth.redeem(cast.pr_bot, code, proof, resource=resource)
    assert (status, answer["error"]) == (400, "invalid_target")


@pytest.mark.usefixtures("alice")
def test_integration_of_another_organization_is_unknown(oauth: OAuth, cast: Cast) -> None:
    make_integration(cast.globex, "secret-project")
    response = oauth.authorize(cast.pr_bot, resource=f"{JOINED}/secret-project")
    assert "error=invalid_target" in response["Location"]


@pytest.mark.usefixtures("alice")
def test_integration_that_the_application_may_not_use_is_unknown(oauth: OAuth, cast: Cast) -> None:
    make_integration(cast.acme, "slack")
    response = oauth.authorize(cast.pr_bot, resource=f"{JOINED}/slack")
    assert "error=invalid_target" in response["Location"]


@pytest.mark.usefixtures("alice")
class TestManagement:
    def test_token_is_for_the_api_and_its_user(self, oauth: OAuth, cast: Cast) -> None:
        token = oauth.get_tokens(cast.pr_bot, scope="management:all", resource=None)["access_token"]
        assert get_claims(token)[1]["aud"] == get_management_resource()
        issued = find_valid_token(token, resource=get_management_resource())
        assert issued is not None
        assert (issued.user, issued.organization, issued.scope) == (cast.alice, cast.acme, "management:all")

    def test_token_for_the_gateway_is_refused(self, oauth: OAuth, cast: Cast) -> None:
        token = oauth.get_tokens(cast.pr_bot)["access_token"]
        assert find_valid_token(token, resource=get_management_resource()) is None
        assert find_valid_token(token, resource=GITHUB) is not None

    def test_token_of_a_suspended_member_is_refused(self, oauth: OAuth, cast: Cast) -> None:
        token = oauth.get_tokens(cast.pr_bot, scope="management:all", resource=None)["access_token"]
        cast.alice.memberships.update(status="suspended")
        assert find_valid_token(token, resource=get_management_resource()) is None

    @pytest.mark.parametrize("token", ["", "x", "eyJ.eyJ.x", "\0"])
    def test_anything_else_is_refused(self, token: str) -> None:
        assert find_valid_token(token, resource=get_management_resource()) is None

    def test_scopes_are_narrowed_to_what_the_resource_knows(self, oauth: OAuth, cast: Cast) -> None:
        answer = oauth.get_tokens(cast.pr_bot, scope="mcp:invoke management:all profile")
        assert answer["scope"] == "mcp:invoke profile"


@given(path=st.text(alphabet="abcmp/.%?#1", max_size=12))
def test_request_outside_the_management_api_needs_its_own_audience(path: str) -> None:
    url = f"{settings.PUBLIC_URL}/{path}"
    is_management = urlsplit(url).path.startswith("/api/v1/")
    assert is_request_allowed(url, [get_management_resource()]) == is_management or url == get_management_resource()
    assert not is_request_allowed(url, [])


@given(uri=st.text(alphabet="htps:/127.0@localcb?#;x ", max_size=40))
def test_redirect_uri_is_allowed_only_as_registered_or_on_another_loopback_port(uri: str) -> None:
    registered = ["https://app.test/cb", "http://127.0.0.1:7000/cb"]
    if is_redirect_uri_registered(uri, registered):
        assert uri in registered or (uri.startswith("http://127.0.0.1") and uri.endswith("/cb"))


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.test/cb",
        "https://app.test/cb?x=1",
        "http://127.0.0.1/cb",
        "http://[::1]:80/cb",
        "http://localhost:9/",
    ],
)
def test_redirect_uri_that_may_be_registered(uri: str) -> None:
    assert find_redirect_uri_problem(uri) == ""


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/cb",
        "http://app.test/",
        "ftp://app.test/",
        "https://",
        "https://a b/",
        "https://ä.test/",
        "data:text/html,x",
    ],
)
def test_redirect_uri_that_may_not_be_registered(uri: str) -> None:
    assert find_redirect_uri_problem(uri) != ""
