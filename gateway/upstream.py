"""The way out to integrations: a narrow adapter over aiohttp, so that it can be exchanged.

Each address is checked when it is dialled, also one written as a literal; redirects are not followed; cookies are not
kept; time and size are bounded. A cancelled call closes its connection at once: the integration then knows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from django.conf import settings
from yarl import URL

from connections.addresses import is_address_allowed
from connections.egress import check_url
from connections.errors import DestinationRefusedError
from gateway.deadline import run_within
from gateway.errors import IntegrationAnswerError, IntegrationUnreachableError, UnavailableError

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
# Without back-pressure in RSGI (granian 2.8) a slow reader's stream grows in our memory, so it has an end.
MAX_STREAM_BYTES = 32 * 1024 * 1024
_CONNECT_SECONDS = 10.0
# A tool may take its time before its first byte; afterwards servers send pings.
_SILENCE_SECONDS = 300.0
_SILENCE_SECONDS_OF_STREAMS = 3600.0
_DOCUMENT_SECONDS = 60.0
_KEPT_OPEN_SECONDS = 30.0
_MOST_DESTINATIONS = 1024

# aiohttp's own limit on silence sets a timer anew at each piece that comes: `run_within` does it for less.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)


class Answer:
    """An integration's answer, of which the head has arrived. It must be closed; closing early drops the connection."""

    __slots__ = ("_connection", "_content", "_headers", "_silence", "content_type", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader, silence: float
    ) -> None:
        self._connection = connection
        self._content = content
        self._headers = message.headers
        self._silence = silence
        self.status = message.code
        self.content_type = _read_type(message.headers.get("Content-Type", ""))
        content.on_eof(connection.release)

    def get_header(self, name: str) -> str | None:
        return self._headers.get(name)

    async def read(self) -> bytes:
        """Return the whole body. Raises IntegrationAnswerError when it is too large or takes too long."""
        content = self._content
        try:
            if content.is_eof():  # most answers have arrived whole by now: nothing to wait for
                return content.read_nowait()
            return await run_within(_DOCUMENT_SECONDS, self._read_on())
        except TimeoutError:
            raise IntegrationUnreachableError("the integration did not finish its answer in time") from None
        except aiohttp.ClientError:
            raise IntegrationUnreachableError("the connection to the integration broke off") from None

    async def _read_on(self) -> bytes:
        received = bytearray()
        async for chunk in self._content.iter_any():
            received += chunk
            if len(received) > MAX_DOCUMENT_BYTES:
                raise IntegrationAnswerError("the integration's answer is too large")
        return bytes(received)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. It ends where the integration ends it, or breaks off."""
        received = 0
        try:
            while chunk := await run_within(self._silence, self._content.readany()):
                received += len(chunk)
                if received > MAX_STREAM_BYTES:
                    raise IntegrationAnswerError("the integration's stream is too large")
                yield chunk
        except TimeoutError:
            raise IntegrationUnreachableError("the integration fell silent") from None
        except aiohttp.ClientError:
            raise IntegrationUnreachableError("the connection to the integration broke off") from None

    def close(self) -> None:
        self._connection.close()  # which does nothing to one that has been released


class _Destination(aiohttp.ClientRequest):
    """Where a URL leads, in the form in which aiohttp's connector asks for it. Made once a URL, and never sent."""

    def __init__(self, url: URL, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__("GET", url, loop=loop)
        self._key = super().connection_key
        self.beginning = f"{url.raw_path_qs} HTTP/1.1\r\nhost: {self.headers['host']}\r\n"

    @property
    def connection_key(self) -> ConnectionKey:
        return self._key


class Upstream:
    """A pool of connections to integrations, for one event loop.

    Connecting, TLS, names, pooling and reading answers are aiohttp's. Its session and request are left out: they look
    for cookies, proxies, redirects and kinds of bodies that there are none of here, which took a fifth of a call.
    """

    def __init__(self) -> None:
        self._connector: aiohttp.TCPConnector | None = None
        self._destinations: dict[str, _Destination] = {}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(
            limit=0,
            ssl=_make_tls_context(),
            socket_factory=_open_socket,
            keepalive_timeout=_KEPT_OPEN_SECONDS,
            ttl_dns_cache=10,
        )

    async def stop(self) -> None:
        if self._connector is not None:
            await self._connector.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, is_stream: bool = False
    ) -> Answer:
        """Send a request and return the answer once its head is there. `is_stream` allows an hour of silence."""
        if self._connector is None or self._connector.closed:
            raise UnavailableError("this gateway process is stopping")
        silence = _SILENCE_SECONDS_OF_STREAMS if is_stream else _SILENCE_SECONDS
        try:
            destination = self._destinations.get(url) or self._find_destination(url)
            request = _write_request(method, destination, headers, body)
            return await run_within(silence, self._exchange(self._connector, destination, request, silence))
        except DestinationRefusedError as error:
            raise IntegrationUnreachableError(f"the integration's URL is refused: {error}") from None
        except TimeoutError:
            raise IntegrationUnreachableError("the integration did not answer in time") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise IntegrationUnreachableError(f"the integration can't be reached ({type(error).__name__})") from None

    def _find_destination(self, url: str) -> _Destination:
        check_url(url)
        if len(self._destinations) >= _MOST_DESTINATIONS:
            self._destinations.clear()
        destination = self._destinations[url] = _Destination(URL(url, encoded=True), self._loop)
        return destination

    async def _exchange(
        self, connector: aiohttp.TCPConnector, destination: _Destination, request: bytes, silence: float
    ) -> Answer:
        connection = await connector.connect(destination, traces=[], timeout=_TIMEOUT)
        try:
            protocol = connection.protocol
            assert protocol is not None
            assert protocol.transport is not None
            protocol.set_response_params(read_until_eof=True)
            protocol.transport.write(request)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and not protocol.upgraded:
                message, content = await protocol.read()
            return Answer(connection, message, content, silence)
        except BaseException:
            connection.close()  # and with it what the integration may still be doing
            raise


def _write_request(method: str, destination: _Destination, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as it goes out. Raises ValueError for a header that would be more than one."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise ValueError("a header holds a control character")
    if body is None:
        return f"{method} {destination.beginning}{lines}\r\n".encode()
    return f"{method} {destination.beginning}{lines}content-length: {len(body)}\r\n\r\n".encode() + body


@lru_cache(maxsize=1024)
def _read_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _make_tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Open the socket for an address that is about to be dialled, or refuse it (SSRF, also by DNS rebinding)."""
    family, kind, protocol, _, target = address
    if not is_address_allowed(str(target[0]), private_networks=settings.ALLOW_PRIVATE_NETWORKS):
        raise PermissionError("this address is private or reserved")
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    return opened
