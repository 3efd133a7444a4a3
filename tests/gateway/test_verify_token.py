"""Only what the authorization server signs is a token (THREATS 1 to 4). Signed by hand: libraries refuse to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from gateway.errors import AuthenticationError
from gateway.tokens import CLOCK_SKEW_SECONDS, verify_token

ISSUER = "https://kontext.test"
OURS = ec.generate_private_key(ec.SECP256R1())
PUBLIC = ECKey.import_key(OURS.public_key())
KEYS = {"ours": PUBLIC}
NOW = time.time()
HEADER: dict[str, Any] = {"alg": "ES256", "typ": "at+jwt", "kid": "ours"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "https://gateway.test/mcp/github",
    "sub": "0199c0de-0000-7000-8000-000000000001",
    "client_id": "app_1",
    "org": "0199c0de-0000-7000-8000-000000000002",
    "scope": "mcp:invoke openid",
    "jti": "0199c0de-0000-7000-8000-000000000003",
    "iat": int(NOW),
    "exp": int(NOW) + 600,
}
Signer = Callable[[bytes], bytes]


def sign_with(key: ec.EllipticCurvePrivateKey) -> Signer:
    def sign_with_key(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign_with_key


sign = sign_with(OURS)


def make(header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, signer: Signer = sign) -> str:
    """Return a token with these parts changed; None removes one."""
    parts = [_change(HEADER, header), _change(CLAIMS, claims)]
    signed = ".".join(_encode(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{_encode(signer(signed.encode()))}"


def _change(base: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in {**base, **(changes or {})}.items() if value is not None}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verify(token: str) -> Any:
    return verify_token(token, keys=KEYS, issuer=ISSUER, now=NOW)


def test_verify_good_token_returns_what_it_says() -> None:
    token = verify(make())
    assert token.subject == CLAIMS["sub"]
    assert token.organization_id == CLAIMS["org"]
    assert token.audience == CLAIMS["aud"]
    assert token.scopes == {"mcp:invoke", "openid"}
    assert (token.issued_at, token.expires_at) == (CLAIMS["iat"], CLAIMS["exp"])


ATTACKER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = PUBLIC.as_pem(private=False)
ATTACKER_JWK = ECKey.import_key(ATTACKER.public_key()).as_dict(private=False)
FORGERIES = {
    "no algorithm": make({"alg": "none"}, signer=lambda data: b""),
    "no algorithm, another spelling": make({"alg": "nOnE"}, signer=lambda data: b""),
    "empty signature": make(signer=lambda data: b""),
    "zero signature": make(signer=lambda data: bytes(64)),
    "another key under our key ID": make(signer=sign_with(ATTACKER)),
    "embedded jwk": make({"jwk": ATTACKER_JWK}, signer=sign_with(ATTACKER)),
    "embedded jwk without key ID": make({"kid": None, "jwk": ATTACKER_JWK}, signer=sign_with(ATTACKER)),
    "embedded jwk, signed by us": make({"jwk": ATTACKER_JWK}),
    "jku": make({"jku": "https://evil.test/jwks.json"}, signer=sign_with(ATTACKER)),
    "x5c": make({"x5c": ["MIIB"]}, signer=sign_with(ATTACKER)),
    "unknown key ID": make({"kid": "other"}),
    "key ID that is a path": make({"kid": "../../dev/null"}),
    "key ID that is no text": make({"kid": ["ours"]}),
    "no key ID": make({"kid": None}),
    "unknown crit": make({"crit": ["exp"]}),
    "crit with its extension": make({"crit": ["b64"], "b64": False}),
    "HS256 keyed with our public key": make(
        {"alg": "HS256"}, signer=lambda data: hmac.new(PUBLIC_PEM, data, hashlib.sha256).digest()
    ),
    "RS256": make({"alg": "RS256"}, signer=lambda data: RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())),
    "ES256K": make({"alg": "ES256K"}),
    "an ID token": make({"typ": "JWT"}),
    "no type": make({"typ": None}),
    "a logout token": make({"typ": "logout+jwt"}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_verify_forged_token_is_refused(name: str) -> None:
    with pytest.raises(AuthenticationError):
        verify(FORGERIES[name])


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.test"},
    "issuer with a slash more": {"iss": f"{ISSUER}/"},
    "expired": {"exp": int(NOW)},
    "from the future": {"iat": int(NOW) + CLOCK_SKEW_SECONDS + 2},
    "no audience": {"aud": None},
    "several audiences": {"aud": [CLAIMS["aud"], "https://gateway.test/mcp"]},
    "a list of one audience": {"aud": [CLAIMS["aud"]]},
    "no expiry": {"exp": None},
    "expiry that is text": {"exp": str(CLAIMS["exp"])},
    "expiry that is true": {"exp": True},
    "endless expiry": {"exp": 1e400},
    "no time of issue": {"iat": None},
    "no identifier": {"jti": None},
    "no subject": {"sub": None},
    "subject that is a number": {"sub": 1},
    "no client": {"client_id": None},
    "no organization": {"org": None},
    "scopes that are a list": {"scope": ["mcp:invoke"]},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_verify_token_with_bad_claims_is_refused(name: str) -> None:
    with pytest.raises(AuthenticationError):
        verify(make(claims=BAD_CLAIMS[name]))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "a.b.c.d", "€", "\0", "a" * 5000, "Bearer x", make() + "="])
def test_verify_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        verify(text)
    assert not text or text not in str(caught.value)


def test_verify_changed_token_is_refused_wherever_it_was_changed() -> None:
    token = make()
    for position in range(0, len(token), 7):
        changed = "A" if token[position] != "A" else "B"
        with pytest.raises(AuthenticationError):
            verify(token[:position] + changed + token[position + 1 :])
