"""What the gateway is compared with: the same server and the same HTTP client, and nothing between them.

ECHO_URL=… ECHO_KEY=… granian --interface rsgi benchmarks.passthrough:app
ECHO_URL=… ECHO_KEY=… granian --interface rsgi benchmarks.passthrough:lean

`app` uses aiohttp as its documentation says, `lean` as gateway.upstream does, below its session.
"""

from __future__ import annotations

import asyncio
import os

import aiohttp
from yarl import URL

from gateway.http import RsgiProtocol, RsgiScope
from gateway.upstream import Upstream


class Passthrough:
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self._url = URL(os.environ["ECHO_URL"])
        self._headers = _make_headers()
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def __rsgi__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        body = await protocol()
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            answer = await response.read()
        protocol.response_bytes(response.status, [("content-type", "application/json")], answer)


class LeanPassthrough:
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream, self._headers = Upstream(), _make_headers()
        self._url = os.environ["ECHO_URL"]
        loop.run_until_complete(self._upstream.start())

    async def __rsgi__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        answer = await self._upstream.send("POST", self._url, self._headers, await protocol())
        body = await answer.read()
        answer.close()
        protocol.response_bytes(answer.status, [("content-type", "application/json")], body)


def _make_headers() -> dict[str, str]:
    return {"authorization": f"Bearer {os.environ['ECHO_KEY']}", "content-type": "application/json"}


app = Passthrough()
lean = LeanPassthrough()
