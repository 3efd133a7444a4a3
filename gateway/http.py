"""One HTTP request of the data plane, as granian's RSGI hands it over, and its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Protocol

import orjson
from uuid_utils import uuid7

from gateway.config import Config
from gateway.deadline import run_within
from gateway.errors import BodyTooLargeError, GatewayError, MalformedRequestError

_GIVEN_ID = re.compile(r"\A[A-Za-z0-9._-]{8,64}\Z")
_BODY_SECONDS = 30.0
# Two of them would be read differently by whoever takes the first and whoever takes the last.
_SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-session-id",
        "origin",
        "x-request-id",
    }
)

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class RsgiHeaders(Protocol):
    def items(self) -> list[tuple[str, str]]: ...


class RsgiScope(Protocol):
    proto: str
    client: str
    method: str
    path: str

    @property
    def headers(self) -> RsgiHeaders: ...


class RsgiStream(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class RsgiProtocol(Protocol):
    async def __call__(self) -> bytes: ...
    def __aiter__(self) -> Any: ...
    def client_disconnect(self) -> Any: ...
    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...
    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> RsgiStream: ...


class Exchange:
    """A request and the one answer it gets. Header names are lower-case; `repeated` are those sent more than once."""

    __slots__ = ("_protocol", "headers", "is_answered", "method", "path", "repeated", "request_id", "source_address")

    def __init__(self, scope: RsgiScope, protocol: RsgiProtocol, config: Config) -> None:
        self._protocol = protocol
        self.method, self.path = scope.method, scope.path
        items = scope.headers.items()
        self.headers: dict[str, str] = dict(items)
        self.repeated = _find_repeated(items) if len(self.headers) != len(items) else frozenset()
        given = self.headers.get("x-request-id", "")
        self.request_id = given if given and _GIVEN_ID.match(given) else str(uuid7())
        self.source_address = _get_source_address(scope, self.headers, config)
        self.is_answered = False

    def check_headers(self) -> None:
        if repeated := self.repeated & _SINGLE:
            raise MalformedRequestError(f"the {min(repeated)} header was sent more than once")

    async def read_body(self, limit: int) -> bytes:
        """Return the whole body. Raises BodyTooLargeError as soon as it is known to pass `limit` bytes."""
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit:
            raise BodyTooLargeError(f"the body is larger than {limit} bytes")
        try:
            return await run_within(_BODY_SECONDS, self._protocol() if length is not None else self._read_chunks(limit))
        except TimeoutError:
            raise MalformedRequestError("the body did not arrive in time") from None

    async def _read_chunks(self, limit: int) -> bytes:
        body = bytearray()
        async for chunk in self._protocol:
            if not chunk:  # the caller is gone
                break
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError(f"the body is larger than {limit} bytes")
        return bytes(body)

    def disconnected(self) -> Any:
        """Return an awaitable that ends when the caller closes the connection."""
        return self._protocol.client_disconnect()

    def answer(
        self, status: int, body: bytes, *, content_type: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        self.is_answered = True
        self._protocol.response_bytes(status, self._headers(content_type, headers), body)

    def answer_json(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answer(status, orjson.dumps(document), headers=headers)

    def answer_empty(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.is_answered = True
        self._protocol.response_empty(status, [("x-request-id", self.request_id), *(headers or {}).items()])

    def answer_error(self, error: GatewayError) -> None:
        """Answer with the error in the shape of the management API (outside JSON-RPC, or before a message is read)."""
        document = {
            "message": str(error),
            "statusCode": error.status,
            "code": error.code,
            "requestId": self.request_id,
        }
        self.answer_json(error.status, document, error.get_headers())

    def open_stream(self, headers: Mapping[str, str] | None = None) -> RsgiStream:
        self.is_answered = True
        return self._protocol.response_stream(200, self._headers(EVENT_STREAM, headers))

    def _headers(self, content_type: str, more: Mapping[str, str] | None) -> list[tuple[str, str]]:
        headers = [("content-type", content_type), ("cache-control", "no-store"), ("x-request-id", self.request_id)]
        return headers if more is None else [*headers, *more.items()]


def _find_repeated(items: list[tuple[str, str]]) -> frozenset[str]:
    seen: set[str] = set()
    return frozenset(name for name, _ in items if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _get_source_address(scope: RsgiScope, headers: Mapping[str, str], config: Config) -> str | None:
    if config.trust_proxy and (forwarded := headers.get("x-forwarded-for")) is not None:
        # What the trusted proxy appended; earlier entries may be invented. As in orgs.http for the control plane.
        return _read_address(forwarded.rpartition(",")[2].strip())
    return _read_peer(scope.client)


@lru_cache(maxsize=4096)
def _read_peer(client: str) -> str | None:
    """Return the address in address:port, the same for all requests of a connection."""
    return _read_address(client.rpartition(":")[0].strip("[]"))


@lru_cache(maxsize=4096)
def _read_address(address: str) -> str | None:
    try:
        # One with a zone (fe80::1%eth0) means something on one machine alone, and PostgreSQL has no place for it.
        return str(ip_address(address)) if "%" not in address else None
    except ValueError:
        return None
