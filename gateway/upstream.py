"""The way out to integrations: a narrow adapter over aiohttp, so that it can be exchanged.

Each address is checked when it is dialled, also one written as a literal; redirects are not followed; cookies are not
kept; time and size are bounded. A cancelled call closes its connection at once: the integration then knows.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from django.conf import settings
from multidict import CIMultiDict
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

# aiohttp's own limit on silence sets a timer anew at each piece that comes: `run_within` does it for less.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)


class Answer:
    """An integration's answer, of which the head has arrived. It must be closed; closing early drops the connection."""

    __slots__ = ("_response", "_silence", "content_type", "status")

    def __init__(self, response: aiohttp.ClientResponse, silence: float) -> None:
        self._response = response
        self._silence = silence
        self.status = response.status
        self.content_type = _read_type(response.headers.get("Content-Type", ""))

    def get_header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    async def read(self) -> bytes:
        """Return the whole body. Raises IntegrationAnswerError when it is too large or takes too long."""
        content = self._response.content
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
        async for chunk in self._response.content.iter_any():
            received += chunk
            if len(received) > MAX_DOCUMENT_BYTES:
                raise IntegrationAnswerError("the integration's answer is too large")
        return bytes(received)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. It ends where the integration ends it, or breaks off."""
        received = 0
        try:
            while chunk := await run_within(self._silence, self._response.content.readany()):
                received += len(chunk)
                if received > MAX_STREAM_BYTES:
                    raise IntegrationAnswerError("the integration's stream is too large")
                yield chunk
        except TimeoutError:
            raise IntegrationUnreachableError("the integration fell silent") from None
        except aiohttp.ClientError:
            raise IntegrationUnreachableError("the connection to the integration broke off") from None

    def close(self) -> None:
        self._response.close()


class _Request(aiohttp.ClientRequest):
    """A request with all of its headers given and its body at hand, if it has one.

    What aiohttp does for other kinds takes a fifth of a call: it looks for defaults, wraps the body, and before Python
    3.12 makes a task that writes it.
    """

    _whole: bytes | None = None

    def update_headers(self, headers: Any) -> None:
        self.headers = CIMultiDict({hdrs.HOST: self.url.host_port_subcomponent or ""})
        self.headers.extend(headers)

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        """There are none: `headers` were complete."""

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        self._whole = body
        if body is not None:
            self.headers[hdrs.CONTENT_LENGTH] = str(len(body))

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self._whole is not None and conn.protocol is not None and conn.protocol.writing_paused:
            # The last body hasn't left yet. aiohttp then puts off the head, and this body must not overtake it.
            self._body, self._whole = aiohttp.BytesIOPayload(io.BytesIO(self._whole)), None
        response = await super().send(conn)
        if self._whole is not None and conn.transport is not None:
            conn.transport.write(self._whole)  # goes out with the head, which the transport has only queued
        return response


class Upstream:
    """A pool of connections to integrations, for one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(
            limit=0,
            ssl=_make_tls_context(),
            socket_factory=_open_socket,
            keepalive_timeout=_KEPT_OPEN_SECONDS,
            ttl_dns_cache=10,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_Request, trust_env=False
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, is_stream: bool = False
    ) -> Answer:
        """Send a request and return the answer once its head is there. `is_stream` allows an hour of silence."""
        if self._session is None or self._session.closed:
            raise UnavailableError("this gateway process is stopping")
        silence = _SILENCE_SECONDS_OF_STREAMS if is_stream else _SILENCE_SECONDS
        try:
            if body is not None:
                answer: Awaitable[aiohttp.ClientResponse] = self._post(method, _read_url(url), headers, body)
            else:
                answer = self._session.request(
                    method, _read_url(url), headers=headers, allow_redirects=False, timeout=_TIMEOUT
                )
            response = await run_within(silence, answer)
        except DestinationRefusedError as error:
            raise IntegrationUnreachableError(f"the integration's URL is refused: {error}") from None
        except TimeoutError:
            raise IntegrationUnreachableError("the integration did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise IntegrationUnreachableError(f"the integration can't be reached ({type(error).__name__})") from None
        return Answer(response, silence)

    async def _post(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Do what a session does for a request that is sent once, has no cookies and follows no redirects.

        It is a tenth of a call less: sessions look for all that a request could have besides.
        """
        assert self._session is not None
        request = _Request(method, url, headers=headers, data=body, loop=self._loop, session=self._session)
        connection = await self._connector.connect(request, traces=[], timeout=_TIMEOUT)
        try:
            assert connection.protocol is not None
            connection.protocol.set_response_params(read_until_eof=True)
            response = await request.send(connection)
            await response.start(connection)
        except BaseException:
            connection.close()  # and with it what the integration may still be doing
            raise
        return response


@lru_cache(maxsize=1024)
def _read_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=1024)
def _read_url(url: str) -> URL:
    check_url(url)
    return URL(url, encoded=True)


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
