"""The front channel: where the browser is sent, and what may be believed of what it brings back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from connections.errors import AuthorizationRefusedError, CallbackError
from connections.oauth.clients import safe_error_code
from connections.oauth.dialect import STANDARD, Dialect
from connections.oauth.metadata import check_endpoint

# Parameters the endpoint's own query must not bring along: ours would then be the second of their name.
OURS = frozenset({"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"})
OURS |= {"resource", "scope", "user_scope"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one authorization request: `state` goes out with the browser, the verifier stays."""

    state: str = field(repr=False)
    code_verifier: str = field(repr=False)

    @property
    def code_challenge(self) -> str:
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_attempt() -> Attempt:
    return Attempt(state=secrets.token_urlsafe(32), code_verifier=secrets.token_urlsafe(48))


def build_authorization_url(
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    attempt: Attempt,
    scopes: Iterable[str],
    resource: str,
    dialect: Dialect = STANDARD,
) -> str:
    oauth = dialect.oauth
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": attempt.state,
        **oauth.authorize_parameters,
    }
    if oauth.pkce:
        parameters |= {"code_challenge": attempt.code_challenge, "code_challenge_method": "S256"}
    if scope := oauth.scope_separator.join(scopes):
        parameters[oauth.scope_parameter] = scope
    if resource:
        parameters["resource"] = resource
    query = urlsplit(check_endpoint(endpoint)).query
    kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in OURS]
    return endpoint.partition("?")[0] + "?" + "&".join([*kept, urlencode(parameters)])


def check_callback(parameters: Mapping[str, str], *, issuer: str, sends_issuer: bool) -> str:
    """Return the code, once the answer is known to come from `issuer` (RFC 9207): errors are checked alike.

    Raises AuthorizationRefusedError when the person or the server declined, CallbackError when the answer is not to be
    trusted; the code is then never redeemed.
    """
    named = parameters.get("iss", "")
    if (named or sends_issuer) and not hmac.compare_digest(named.encode(), issuer.encode()):
        raise CallbackError("the answer came from another authorization server than the one that was asked")
    if error := parameters.get("error"):
        raise AuthorizationRefusedError(safe_error_code(error) or "refused")
    code = parameters.get("code", "")
    if not code:
        raise CallbackError("the answer holds neither a code nor an error")
    return code
