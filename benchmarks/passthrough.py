"""What the gateway is compared with: the same server and the same HTTP client, and nothing between them.

ECHO_URL=… ECHO_KEY=… granian --interface rsgi benchmarks.passthrough:app
"""

from __future__ import annotations

import asyncio
import os

import aiohttp
from yarl import URL

from gateway.http import RsgiProtocol, RsgiScope


class Passthrough:
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self._url = URL(os.environ["ECHO_URL"])
        self._headers = {"authorization": f"Bearer {os.environ['ECHO_KEY']}", "content-type": "application/json"}
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def __rsgi__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        body = await protocol()
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            answer = await response.read()
        protocol.response_bytes(response.status, [("content-type", "application/json")], answer)


app = Passthrough()
