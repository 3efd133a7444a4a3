"""The demo GitHub's authorization server, behind the interface of the `mcp` package's OAuth endpoints."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from kontext.demo.github.state import Store

ACCOUNTS = ("alice-acme", "bob-acme", "mallory-globex")
SCOPE = "repo"
CODE_LIFETIME = 60


@dataclass(frozen=True)
class PendingConsent:
    """An authorization request that waits for a person to choose an account or to refuse."""

    client: OAuthClientInformationFull = field(repr=False)
    params: AuthorizationParams
    expires_at: float


class DemoProvider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    def __init__(self, store: Store, *, issuer: str, token_lifetime: int) -> None:
        self.store = store
        self.issuer = issuer
        self.token_lifetime = token_lifetime
        self._pending: dict[str, PendingConsent] = {}
        self._codes: dict[str, AuthorizationCode] = {}

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.store.state.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.store.state.clients[client_info.client_id] = client_info
        self.store.save()

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Park the request and send the person to the account chooser."""
        handle = secrets.token_urlsafe(32)
        self._pending[handle] = PendingConsent(client, params, time.time() + 600)
        return f"{self.issuer}/consent?request={handle}"

    def find_pending(self, handle: str) -> PendingConsent | None:
        pending = self._pending.get(handle)
        return pending if pending and pending.expires_at > time.time() else None

    def approve(self, handle: str, account: str) -> str:
        """Return where the browser goes next, with a code for `account`. The request can't be answered twice."""
        pending = self._pending.pop(handle)
        code = self._code_for(pending, account)
        self._codes[code.code] = code
        return self._redirect(pending.params, code=code.code)

    def refuse(self, handle: str) -> str:
        pending = self._pending.pop(handle)
        return self._redirect(pending.params, error="access_denied")

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self._codes[authorization_code.code]
        return self._issue(
            family=secrets.token_urlsafe(16),
            client_id=client.client_id,
            subject=authorization_code.subject,
            resource=authorization_code.resource,
            scopes=authorization_code.scopes,
        )

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        """A spent refresh token that comes back is a stolen one: everything from the same consent ends."""
        state = self.store.state
        token = state.refresh_tokens.get(refresh_token)
        if token is None and refresh_token in state.families:
            self._end_family(state.families[refresh_token])
        return token

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        state = self.store.state
        del state.refresh_tokens[refresh_token.token]
        return self._issue(
            family=state.families[refresh_token.token],
            client_id=client.client_id,
            subject=refresh_token.subject,
            resource=refresh_token.resource,
            scopes=scopes,
        )

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.store.state.access_tokens.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self._end_family(self.store.state.families[token.token])

    def expire_access_tokens(self) -> int:
        """Make every access token expired, as time would; returns how many."""
        tokens = self.store.state.access_tokens.values()
        for token in tokens:
            token.expires_at = int(time.time()) - 60
        self.store.save()
        return len(tokens)

    def revoke_everything(self) -> None:
        """What a person does in GitHub's own settings: every grant ends, and no client is told."""
        for family in set(self.store.state.families.values()):
            self._end_family(family)

    def _issue(
        self, *, family: str, client_id: str, subject: str | None, resource: str | None, scopes: list[str]
    ) -> OAuthToken:
        access = AccessToken(
            token=f"gho_{secrets.token_urlsafe(32)}",
            client_id=client_id,
            scopes=scopes,
            expires_at=int(time.time()) + self.token_lifetime,
            resource=resource,
            subject=subject,
        )
        refresh = RefreshToken(
            token=f"ghr_{secrets.token_urlsafe(32)}",
            client_id=client_id,
            scopes=scopes,
            resource=resource,
            subject=subject,
        )
        state = self.store.state
        state.access_tokens[access.token] = access
        state.refresh_tokens[refresh.token] = refresh
        state.families |= {access.token: family, refresh.token: family}
        self.store.save()
        return OAuthToken(
            access_token=access.token,
            refresh_token=refresh.token,
            expires_in=self.token_lifetime,
            scope=" ".join(scopes),
        )

    def _end_family(self, family: str) -> None:
        state = self.store.state
        for token in [token for token, owner in state.families.items() if owner == family]:
            state.access_tokens.pop(token, None)
            state.refresh_tokens.pop(token, None)
        self.store.save()

    def _code_for(self, pending: PendingConsent, account: str) -> AuthorizationCode:
        params = pending.params
        return AuthorizationCode(
            code=secrets.token_urlsafe(32),
            scopes=params.scopes or [SCOPE],
            expires_at=time.time() + CODE_LIFETIME,
            client_id=pending.client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            subject=account,
        )

    def _redirect(self, params: AuthorizationParams, **answer: str) -> str:
        return construct_redirect_uri(str(params.redirect_uri), state=params.state, iss=self.issuer, **answer)
