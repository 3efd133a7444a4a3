"""Who calls: the token is verified once, and what it names is looked up in the snapshot for every call."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from itertools import islice

from django.conf import settings

from connections.resources import get_joined_resource
from gateway.errors import AuthenticationError, InsufficientScopeError
from gateway.facts import ApplicationFacts, DelegationFacts, Principal, Snapshot
from gateway.snapshot import Snapshots
from gateway.snapshot.store import SigningKeys
from gateway.tokens import AccessToken, check_not_expired, verify_token
from orgs.oauth.resources import INVOKE_SCOPE

_MOST_TOKENS = 50_000
_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature held under one of these keys."""

    token: AccessToken
    keys: SigningKeys


@dataclass(frozen=True, slots=True)
class _Standing:
    """Who a token stands for as long as its snapshot holds and `good_until` (of the consent) has not come."""

    principal: Principal
    good_until: float


@dataclass(frozen=True, slots=True)
class _Standings:
    snapshot: Snapshot
    by_token: dict[bytes, _Standing] = field(default_factory=dict)


class Authenticator:
    """Verified tokens are kept under their SHA-256 until they expire; the tokens themselves are not.

    What may end before a token does is asked of the snapshot: revocation, suspension, consent, use of the integration.
    The answer is kept with that snapshot and goes with it.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._verified: dict[bytes, _Verified] = {}
        self._standings: dict[str, _Standings] = {}
        self._swept_at = time.time()

    async def authenticate(self, bearer: str | None, *, resource: str) -> tuple[Principal, Snapshot]:
        """Return who calls and the snapshot that says so, for a token whose audience is exactly `resource`.

        Raises AuthenticationError, InsufficientScopeError or UnavailableError.
        """
        if not bearer or not bearer.isascii():
            raise AuthenticationError("this needs an access token", error="invalid_token" if bearer else "")
        keys = self._snapshots.find_keys()
        if keys is None:
            keys = await self._snapshots.get_keys()
        digest, now = hashlib.sha256(bearer.encode()).digest(), time.time()
        verified = self._verified.get(digest)
        if verified is None or verified.keys is not keys:
            verified = self._verify(bearer, digest, keys, now)
        token = verified.token
        check_not_expired(token.expires_at, now)
        if token.audience != resource:
            raise AuthenticationError("the access token is for another resource")
        snapshot = self._snapshots.find(token.organization_id) or await self._snapshots.get(token.organization_id)
        if snapshot is None:
            raise AuthenticationError("the organization of this access token is gone")
        return self._find_principal(digest, token, snapshot, now), snapshot

    def _verify(self, bearer: str, digest: bytes, keys: SigningKeys, now: float) -> _Verified:
        self._sweep(now)
        token = verify_token(bearer, keys=keys, issuer=settings.PUBLIC_URL, now=now)
        self._verified[digest] = verified = _Verified(token, keys)
        return verified

    def _find_principal(self, digest: bytes, token: AccessToken, snapshot: Snapshot, now: float) -> Principal:
        standings = self._standings.get(token.organization_id)
        if standings is None or standings.snapshot is not snapshot:
            standings = self._standings[token.organization_id] = _Standings(snapshot)
        standing = standings.by_token.get(digest)
        if standing is None or now >= standing.good_until:
            standing = standings.by_token[digest] = _examine(token, snapshot, now)
        return standing.principal

    def _sweep(self, now: float) -> None:
        """Forget expired tokens once a minute, and the oldest when there are too many to keep."""
        if now - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = now
            self._verified = {key: kept for key, kept in self._verified.items() if kept.token.expires_at > now}
            self._standings.clear()
        if len(self._verified) >= _MOST_TOKENS:
            for key in list(islice(self._verified, _MOST_TOKENS // 10)):
                del self._verified[key]


def _examine(token: AccessToken, snapshot: Snapshot, now: float) -> _Standing:
    """Hold the token against everything that can end its use early. Raises AuthenticationError."""
    application = snapshot.applications.get(token.client_id)
    if application is None or not application.is_active or not snapshot.is_active:
        raise AuthenticationError("the application of this access token may not act any more")
    if token.jti in snapshot.revoked:
        raise AuthenticationError("the access token was revoked")
    if INVOKE_SCOPE not in token.scopes:
        raise InsufficientScopeError("the access token does not allow calls", scope=INVOKE_SCOPE)
    _check_integration(token, application, snapshot)
    if token.subject == application.id:
        return _Standing(_make_principal(token, application, None, ""), float("inf"))
    person = snapshot.people.get(token.subject)
    if person is None or not person.is_active:
        raise AuthenticationError("the person of this access token may not act any more")
    consent, good_until = _get_consent(token, application, snapshot, now)
    principal = _make_principal(token, application, person.id, person.name, is_paused=consent.is_paused)
    return _Standing(principal, good_until)


def _check_integration(token: AccessToken, application: ApplicationFacts, snapshot: Snapshot) -> None:
    joined = get_joined_resource()
    if token.audience == joined:
        return
    integration = snapshot.integrations.get(token.audience.removeprefix(f"{joined}/"))
    if integration is None or not integration.is_active or integration.id not in application.integrations:
        raise AuthenticationError("the application may not use this integration any more")


def _get_consent(
    token: AccessToken, application: ApplicationFacts, snapshot: Snapshot, now: float
) -> tuple[DelegationFacts, float]:
    """Return the person's consent, and until when it lasts. A token that is older belongs to one that has ended."""
    consent = snapshot.delegations.get((token.subject, application.id))
    good_until = float("inf") if consent is None or consent.expires_at is None else consent.expires_at
    # Tokens tell their time in whole seconds.
    if consent is None or now >= good_until or token.issued_at < int(consent.granted_at):
        raise AuthenticationError("the person has ended what the application may do for them")
    return consent, good_until


def _make_principal(
    token: AccessToken, application: ApplicationFacts, user_id: str | None, user_name: str, *, is_paused: bool = False
) -> Principal:
    return Principal(
        organization_id=token.organization_id,
        user_id=user_id,
        application_id=application.id,
        client_id=token.client_id,
        jti=token.jti,
        scopes=token.scopes,
        resource=token.audience,
        issued_at=token.issued_at,
        expires_at=token.expires_at,
        user_name=user_name,
        application_name=application.name,
        is_paused=is_paused,
    )
