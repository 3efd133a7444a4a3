"""The data plane's process: a bare RSGI application for granian, with Django for its ORM and nothing else.

granian --interface rsgi gateway.app:app
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import sys
from functools import lru_cache

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")

import django

django.setup()

from gateway.config import Config, read_config  # noqa: E402
from gateway.connect import PATH as CONNECT_PATH  # noqa: E402
from gateway.connect import serve_connect_session  # noqa: E402
from gateway.errors import (  # noqa: E402
    AuthenticationError,
    GatewayError,
    NotAllowedMethodError,
    NotFoundError,
)
from gateway.http import Exchange, RsgiProtocol, RsgiScope  # noqa: E402
from gateway.mcp.envelopes import make_envelopes  # noqa: E402
from gateway.metadata import METADATA_PATH, get_metadata, make_challenge  # noqa: E402
from gateway.notices import Notices  # noqa: E402
from gateway.pipeline.run import serve  # noqa: E402
from gateway.runtime import Runtime  # noqa: E402
from gateway.service import Gateway  # noqa: E402
from gateway.upstream import Upstream  # noqa: E402

logger = logging.getLogger(__name__)

_ENDPOINT = re.compile(r"\A/mcp(?:/([a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?))?\Z")


class Application:
    """What granian calls. Its event loop doesn't run yet, or any more, when it calls init and del."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # While a large organization is read in a thread, the loop gets the interpreter back after a millisecond, not
        # five: measured, twice as many turns of the loop meanwhile.
        sys.setswitchinterval(0.001)
        self._gateway = loop.run_until_complete(start_gateway(read_config()))

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._gateway is not None:
            loop.run_until_complete(stop_gateway(self._gateway))

    async def __rsgi__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        assert self._gateway is not None
        if scope.proto != "http":
            protocol.close(404)  # type: ignore[attr-defined]
            return
        exchange = Exchange(scope, protocol, self._gateway.config)
        try:
            await _answer(exchange, self._gateway)
        except GatewayError as error:
            _fail(exchange, error)
        except Exception:
            logger.exception("request %s failed", exchange.request_id)
            _fail(exchange, GatewayError("the gateway failed: the operator finds this request ID in its log"))


async def start_gateway(config: Config) -> Gateway:
    gateway = Gateway(
        config=config, runtime=Runtime(), upstream=Upstream(), envelopes=make_envelopes(), notices=Notices()
    )
    await gateway.runtime.start()
    await gateway.upstream.start()
    _spare_the_collector()
    return gateway


def _spare_the_collector() -> None:
    """Take what was loaded at the start, Django above all, out of the garbage collector's rounds: it stays anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def stop_gateway(gateway: Gateway) -> None:
    await gateway.upstream.stop()
    await gateway.runtime.stop()


async def _answer(exchange: Exchange, gateway: Gateway) -> None:
    if exchange.path == "/healthz":
        await gateway.runtime.check()
        exchange.answer_json(200, {"status": "ok"})
        return
    exchange.check_headers()
    gateway.config.check_host(exchange.headers.get("host"))
    if exchange.path.startswith(METADATA_PATH):
        _answer_metadata(exchange, gateway.config)
        return
    gateway.config.check_origin(exchange.headers.get("origin"), exchange.headers["host"])
    if exchange.path == CONNECT_PATH:
        await _answer_connect(exchange, gateway)
        return
    slug = _get_slug(exchange.path)
    try:
        await serve(exchange, gateway, slug)
    except AuthenticationError as error:
        error.challenge = make_challenge(gateway.config, slug, error)
        raise


async def _answer_connect(exchange: Exchange, gateway: Gateway) -> None:
    try:
        await serve_connect_session(exchange, gateway)
    except AuthenticationError as error:
        error.challenge = make_challenge(gateway.config, None, error)
        raise


def _answer_metadata(exchange: Exchange, config: Config) -> None:
    if exchange.method not in ("GET", "HEAD"):
        raise NotAllowedMethodError("metadata is read with GET", allowed="GET, HEAD")
    document = get_metadata(config, _get_slug(exchange.path.removeprefix(METADATA_PATH)))
    exchange.answer_json(200, document, {"access-control-allow-origin": "*"})


@lru_cache(maxsize=1024)
def _get_slug(path: str) -> str | None:
    """Return the integration that a path names, None for the joined endpoint. Nothing is normalized."""
    match = _ENDPOINT.match(path)
    if match is None:
        raise NotFoundError("there is nothing at this path: MCP is served at /mcp/<integration>")
    return match.group(1)


def _fail(exchange: Exchange, error: GatewayError) -> None:
    if not exchange.is_answered:
        exchange.answer_error(error)


app = Application()
