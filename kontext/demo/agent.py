"""PR-Bot: an application as a stranger would write it, with nothing but the `mcp` package and the gateway's address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

OpenBrowser = Callable[[str], Awaitable[object]]


class Wallet(TokenStorage):
    """Tokens and the client's registration, kept in memory for as long as the application runs."""

    def __init__(self, client: OAuthClientInformationFull | None = None) -> None:
        self.client = client
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass(frozen=True)
class Registration:
    """What the application was given at registration; without a client ID it registers itself (RFC 7591)."""

    name: str
    client_id: str | None = None
    client_secret: str | None = None


class Callback:
    """The loopback listener of a native application (RFC 8252 §7.3): takes one authorization response."""

    def __init__(self) -> None:
        self._answer: asyncio.Queue[dict[str, list[str]]] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/callback"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def wait(self) -> AuthorizationCodeResult:
        answer = await asyncio.wait_for(self._answer.get(), 60)
        if "error" in answer:
            raise PermissionError(f"{answer['error'][0]}: {answer.get('error_description', [''])[0]}")
        single = {name: values[0] for name, values in answer.items()}
        return AuthorizationCodeResult(code=single["code"], state=single.get("state"), iss=single.get("iss"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).decode().split(" ")[1]
        query = parse_qs(urlsplit(target).query)
        if "code" in query or "error" in query:
            self._answer.put_nowait(query)
        body = b"You can close this window."
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


class Agent:
    """An MCP application that asks its user's browser for consent when the server demands it."""

    def __init__(self, registration: Registration, open_browser: OpenBrowser) -> None:
        self.registration = registration
        self.open_browser = open_browser
        self.callback = Callback()
        self.wallet = Wallet()

    async def start(self) -> None:
        await self.callback.start()
        if self.registration.client_id is not None:
            self.wallet.client = self._client_information(self.registration.client_id)

    async def stop(self) -> None:
        await self.callback.stop()

    @asynccontextmanager
    async def session(self, url: str, *, mode: str = "auto") -> AsyncIterator[Client]:
        """A client of the MCP server at `url`; `mode` picks the protocol era ('legacy' is 2025-11-25 and older)."""
        async with (
            httpx2.AsyncClient(auth=self._authentication(url), timeout=60) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode, cache=None) as client,
        ):
            yield client

    def _authentication(self, url: str) -> httpx2.Auth:
        metadata = OAuthClientMetadata.model_validate(
            {"client_name": self.registration.name, "redirect_uris": [self.callback.url]}
        )
        return OAuthClientProvider(url, metadata, self.wallet, self._open, self.callback.wait)

    async def _open(self, url: str) -> None:
        await self.open_browser(url)

    def _client_information(self, client_id: str) -> OAuthClientInformationFull:
        secret = self.registration.client_secret
        return OAuthClientInformationFull.model_validate(
            {
                "client_id": client_id,
                "client_secret": secret,
                "redirect_uris": [self.callback.url],
                "token_endpoint_auth_method": "client_secret_basic" if secret else "none",
            }
        )
