"""The oauthlib server with what we offer and nothing else: no implicit, password or hybrid grant can be reached."""

from __future__ import annotations

from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749.endpoints import (
    AuthorizationEndpoint,
    RevocationEndpoint,
    TokenEndpoint,
)
from oauthlib.oauth2.rfc6749.grant_types import ClientCredentialsGrant
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import code_challenge_method_s256
from oauthlib.oauth2.rfc6749.tokens import BearerToken
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant, RefreshTokenGrant

from orgs.oauth.tokens import generate_refresh_token, sign_access_token


class _BearerToken(BearerToken):
    """Signs what the validator prepared, with a refresh token only for applications that may use one."""

    def create_token(self, request: Request, refresh_token: bool = False, **kwargs: Any) -> Any:
        wanted = refresh_token and request.client.allows_grant_type("refresh_token")
        return super().create_token(request, refresh_token=wanted, **kwargs)


class Server(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint):
    """Authorization code with PKCE (S256 only), refresh and client credentials, with OpenID Connect's ID token."""

    def __init__(self, request_validator: Any, token_expires_in: int, **kwargs: Any) -> None:
        code = AuthorizationCodeGrant(request_validator)
        code.proxy_target._code_challenge_methods = {"S256": code_challenge_method_s256}

        def generate_access_token(request: Request, refresh_token: bool = False) -> str:
            return sign_access_token(request_validator.prepare_access_token(request))

        bearer = _BearerToken(request_validator, generate_access_token, token_expires_in, generate_refresh_token)
        AuthorizationEndpoint.__init__(
            self, default_response_type="code", default_token_type=bearer, response_types={"code": code}
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={
                "authorization_code": code,
                "refresh_token": RefreshTokenGrant(request_validator),
                "client_credentials": ClientCredentialsGrant(request_validator),
            },
        )
        RevocationEndpoint.__init__(self, request_validator)
