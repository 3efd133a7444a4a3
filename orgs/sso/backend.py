"""social-auth's OpenID Connect backend, configured by a row instead of by settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

import requests
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.exceptions import AuthProviderError
from social_core.utils import http_error
from social_django.utils import load_strategy

from orgs.models import IdentityProvider
from orgs.outbound import OutboundError, send
from orgs.services.set_identity_provider import open_client_secret
from orgs.sso.errors import IssuerMismatchError, MisconfiguredError
from orgs.vault import VaultError

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


_DEFAULT_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class OrganizationBackend(OpenIdConnectAuth[HttpResponse]):
    """Authorization code with state, nonce and PKCE at one identity provider.

    Its name carries the provider's key: state that was begun at one provider is unknown at every other (mix-up).
    """

    USE_BASIC_AUTH = True

    def __init__(self, request: HttpRequest, provider: IdentityProvider, *, login_hint: str = "") -> None:
        self.http_request = request
        self.provider = provider
        self.name = f"oidc-{provider.pk}"
        self._settings = {
            "KEY": provider.client_id,
            "SECRET": _open_secret(provider),
            "OIDC_ENDPOINT": provider.issuer,
            "SCOPE": provider.scopes.split(),
            "IGNORE_DEFAULT_SCOPE": True,
            "USE_PKCE": True,
            "JWT_ALGORITHMS": _ALGORITHMS,
            "GROUPS_KEY": provider.group_claim or None,
            "GROUPS_MISSING_AS_EMPTY": True,
            "LOGIN_HINT": login_hint or None,
        }
        super().__init__(load_strategy(request), f"{settings.PUBLIC_URL}/sso/{provider.pk}/complete/")

    def setting(self, name: str, default: Any = None) -> Any:
        return self._settings.get(name, default)

    def oidc_config(self) -> dict[str, Any]:
        """Return the provider's metadata, which must name exactly the issuer an administrator entered (§4.3)."""
        metadata: dict[str, Any] = super().oidc_config()
        if metadata.get("issuer") != self.provider.issuer:
            # social-auth would keep the document for a day: once it is corrected, the next sign-in must see that.
            self.get_openid_configuration.invalidate(self, self.oidc_config_url())
            raise IssuerMismatchError("the identity provider's metadata names another issuer than the one configured")
        return metadata

    def oidc_config_url(self) -> str:
        return f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration"

    def get_jwks_keys(self) -> list[dict[str, Any]]:
        """Return the signing keys, each with its algorithm: social-auth takes a key without one for RS256."""
        keys = (key for key in super().get_jwks_keys() if key.get("use", "sig") == "sig")
        return [
            {"alg": _DEFAULT_ALGORITHMS.get(str(key.get("crv")), "RS256"), **key}
            for key in keys
            if key.get("kty") != "oct"
        ]

    def process_error(self, data: Any, *, stage: Any = "callback") -> None:
        """Refuse an answer of another issuer before anything in it is used, an error included (RFC 9207)."""
        if stage == "callback":
            self._check_answering_issuer(data)
        super().process_error(data, stage=stage)

    def use_basic_auth(self) -> bool:
        return bool(self._settings["SECRET"]) and super().use_basic_auth()

    def auth_complete_params(self, state: str | None = None) -> dict[str, str]:
        params: dict[str, str] = super().auth_complete_params(state)
        if not self._settings["SECRET"]:
            params["client_id"] = self.provider.client_id
            params.pop("client_secret", None)
        return params

    def user_data(self, access_token: str, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        return super().user_data(access_token, *args, **kwargs) if "userinfo_endpoint" in self.oidc_config() else {}

    def do_auth(self, access_token: str, *args: Any, **kwargs: Any) -> Any:
        """Run our pipeline (settings.SOCIAL_AUTH_PIPELINE) on what the provider said, and return the person."""
        response = {**(self.id_token or {}), **(self.user_data(access_token) or {})}
        return self.run_authentication(self.http_request, strategy=self.strategy, backend=self, response=response)

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str | bytes] | None = None,
        data: Mapping[str, Any] | None = None,
        json: Any = None,
        auth: Any = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        stage: Any = "user_info",
    ) -> requests.Response:
        """Send through the address-checked client instead of through `requests`."""
        sent, body = _encode(headers or {}, data, json, auth)
        target = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
        try:
            answer = send(method, target, headers=sent, body=body)
        except OutboundError as error:
            raise AuthProviderError(self, str(error), code="connection_failed", stage=stage) from error
        response = _as_requests(answer.status, answer.headers, answer.body, url)
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            raise http_error(self, error, stage=stage) from error
        return response

    def _check_answering_issuer(self, data: Any) -> None:
        named = data.get("iss")
        is_promised = bool(self.oidc_config().get("authorization_response_iss_parameter_supported"))
        if named != self.provider.issuer and (named is not None or is_promised):
            raise IssuerMismatchError("the answer came from another issuer than the one sign-in was begun at")


def _open_secret(provider: IdentityProvider) -> str:
    try:
        return open_client_secret(provider)
    except VaultError as error:
        raise MisconfiguredError("the stored client secret can't be opened: enter it again") from error


def _encode(
    headers: Mapping[str, str | bytes], data: Mapping[str, Any] | None, document: Any, auth: Any
) -> tuple[dict[str, str], bytes | None]:
    sent = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    if auth is not None:
        # RFC 6749 §2.3.1 asks for both parts form-encoded first.
        pair = ":".join(quote_plus(part) for part in auth)
        sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if document is not None:
        return {**sent, "Content-Type": "application/json"}, json.dumps(document).encode()
    return sent, urlencode(data).encode() if data is not None else None


def _as_requests(status: int, headers: Mapping[str, str], body: bytes, url: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    response._content = body
    response.url = url
    response.encoding = "utf-8"
    return response
