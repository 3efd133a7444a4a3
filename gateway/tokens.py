"""What an access token of ours says, once its signature holds (RFC 9068). Pure: no snapshot, no event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from gateway.errors import AuthenticationError

# Clocks of web and gateway may differ by this much when they run on two machines.
CLOCK_SKEW_SECONDS = 5
LONGEST_TOKEN = 4096
_HEADER = frozenset({"alg", "typ", "kid"})
_TEXTS = ("iss", "aud", "sub", "client_id", "org", "scope", "jti")
_TIMES = ("iat", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Times are seconds since the epoch; `subject` is a user's or an application's identifier."""

    jti: str
    subject: str
    client_id: str
    organization_id: str
    audience: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int


def verify_token(token: str, *, keys: Mapping[str, ECKey], issuer: str, now: float) -> AccessToken:
    """Return what the token says if `issuer` signed it with one of these keys and it is valid now.

    Everything is as orgs.oauth.tokens makes it, or it is refused: no other algorithm or type, no key in the header
    (`jwk`, `jku`, `x5c`), no extension (`crit`), no list of audiences. Raises AuthenticationError. Whether token and
    holder are still welcome is for the caller to check.
    """
    if len(token) > LONGEST_TOKEN:
        raise AuthenticationError("the access token is too long to be one of ours")
    try:
        claims = jwt.decode(token, lambda guest: _find_key(guest.headers(), keys), algorithms=["ES256"]).claims
    except (JoseError, ValueError) as error:
        raise AuthenticationError("the access token was not issued here, or was changed") from error
    _check_claims(claims, issuer=issuer, now=now)
    return AccessToken(
        jti=claims["jti"],
        subject=claims["sub"],
        client_id=claims["client_id"],
        organization_id=claims["org"],
        audience=claims["aud"],
        scopes=frozenset(claims["scope"].split()),
        issued_at=claims["iat"],
        expires_at=claims["exp"],
    )


def _find_key(header: Mapping[str, Any], keys: Mapping[str, ECKey]) -> ECKey:
    if header.keys() != _HEADER or header["alg"] != "ES256" or header["typ"] != "at+jwt":
        raise AuthenticationError("the bearer token is not an access token of ours")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise AuthenticationError("the access token was not issued here, or was changed")
    return key


def _check_claims(claims: Mapping[str, Any], *, issuer: str, now: float) -> None:
    is_complete = all(isinstance(claims.get(name), str) for name in _TEXTS)
    # JSON's true is an int in Python.
    if not is_complete or not all(type(claims.get(name)) is int for name in _TIMES):
        raise AuthenticationError("the access token does not say all that one of ours says")
    if claims["iss"] != issuer:
        raise AuthenticationError("the access token is from another issuer")
    if claims["iat"] > now + CLOCK_SKEW_SECONDS:
        raise AuthenticationError("the access token is from the future")
    check_not_expired(claims["exp"], now)


def check_not_expired(expires_at: int, now: float) -> None:
    if now >= expires_at:
        raise AuthenticationError("the access token has expired")
