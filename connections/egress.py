"""The one way out of the control plane: every request to an integration or its authorization server goes through here.

Others decide where it goes: an administrator types a URL, and what that answers names further URLs. So each address is
checked when it is dialled (not when the name was first resolved, DNS may change between), redirects are not followed,
and time and size are bounded whatever the other side does.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection

from connections.addresses import is_address_allowed
from connections.errors import (
    DestinationRefusedError,
    DestinationUnreachableError,
    MalformedResponseError,
    ResponseTooLargeError,
)

__all__ = ["Limits", "Response", "check_url", "dial", "is_address_allowed", "post_form", "post_json", "request"]

_CHUNK_BYTES = 16 * 1024
_USER_AGENT = "Kontext"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost, from the first DNS packet to the last byte of the body."""

    seconds: float = 10.0
    body_bytes: int = 1024 * 1024


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. Its text form leaves out headers and body: they may hold tokens."""

    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body. Raises MalformedResponseError when there is none."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise MalformedResponseError(f"{describe(self.url)} answered {self.status} without a JSON object")
        return document


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_complete: Callable[[bytes], bool] = lambda _: False,
) -> Response:
    """Send one request and return whatever came back, an error status and a redirect included.

    `is_complete` is shown what has arrived and may end the reading: an event stream need not end by itself.

    Raises DestinationRefusedError when the URL or an address behind it may not be reached, ResponseTooLargeError, and
    DestinationUnreachableError for everything that may be different next time (DNS, connection, TLS, time-out).
    """
    parts = check_url(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
    with _connect(parts, limits) as connection, _describing_failures(url, connection):
        connection.request(method, target, body=body, headers=sent, preload_content=False)
        response = connection.getresponse()
        received = _read_bounded(response, limits.body_bytes, is_complete, url)
        return Response(url, response.status, response.headers, received)


def post_form(
    url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None, limits: Limits = DEFAULT_LIMITS
) -> Response:
    content = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return request("POST", url, headers={**content, **(headers or {})}, body=urlencode(form).encode(), limits=limits)


def post_json(
    url: str,
    document: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_complete: Callable[[bytes], bool] = lambda _: False,
) -> Response:
    content = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    body = json.dumps(document).encode()
    return request("POST", url, headers=content, body=body, limits=limits, is_complete=is_complete)


def dial(
    host: str, port: int, *, kind: socket.SocketKind, seconds: float, private_networks: bool = False
) -> socket.socket:
    """Return a socket to a host for a protocol other than HTTP, its address checked as any other's.

    Its time-out is what is left of `seconds`. `private_networks` is for a host that only the operator names, and opens
    what KONTEXT_ALLOW_PRIVATE_NETWORKS does. Raises DestinationRefusedError and DestinationUnreachableError.
    """
    deadline = time.monotonic() + seconds
    try:
        dialled = _dial(host, port, deadline, kind, private_networks=private_networks)
    except (OSError, ValueError) as error:
        reason = "did not answer in time" if isinstance(error, TimeoutError) else f"can't be reached: {_reason(error)}"
        raise DestinationUnreachableError(f"{host}:{port} {reason}") from None
    dialled.settimeout(max(0.001, deadline - time.monotonic()))
    return dialled


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that may be requested: https, or http too where private networks are allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise DestinationRefusedError("this is not a valid URL") from None
    if any(character <= " " or character in '\\"<>^`{|}\x7f' for character in url) or not url.isascii():
        raise DestinationRefusedError("a URL must not hold spaces, control characters or unescaped special characters")
    if parts.scheme not in ("https", *(("http",) if settings.ALLOW_PRIVATE_NETWORKS else ())):
        raise DestinationRefusedError(f"{describe(url)} must be an https URL")
    if not host or parts.username is not None or parts.password is not None:
        raise DestinationRefusedError("a URL must name a host, and must not hold a user name or password")
    return parts


def describe(url: str) -> str:
    """Return what may be said about a URL in an error or a log: its query may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Connection(HTTPConnection):
    """A connection that checks each address it dials and ends at its deadline, wherever it has got to."""

    deadline: float
    expired = False
    handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        dialled = _dial(self.host, self.port, self.deadline, socket.SOCK_STREAM)
        # TLS takes the descriptor over, a duplicate stays ours: shutting it down wakes whoever reads from the other.
        self.handle = dialled.dup()
        return dialled

    def expire(self) -> None:
        self.expired = True
        if self.handle is not None:
            try:
                self.handle.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is over already


class _TLSConnection(_Connection, HTTPSConnection):
    pass


@contextmanager
def _connect(parts: SplitResult, limits: Limits) -> Iterator[_Connection]:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    connection: _Connection
    if parts.scheme == "https":
        connection = _TLSConnection(host, port, timeout=limits.seconds, ssl_context=_tls_context())
    else:
        connection = _Connection(host, port, timeout=limits.seconds)
    connection.deadline = time.monotonic() + limits.seconds
    # Socket time-outs start anew with each byte, so a server that drips would hold us for hours.
    watchdog = threading.Timer(limits.seconds, connection.expire)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield connection
    finally:
        watchdog.cancel()
        connection.close()
        if connection.handle is not None:
            connection.handle.close()


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def _describing_failures(url: str, connection: _Connection) -> Iterator[None]:
    try:
        yield
        if connection.expired:  # shut down by us, a body without a length looks complete
            raise TimeoutError
    except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as error:
        if connection.expired or isinstance(error, TimeoutError):
            raise DestinationUnreachableError(f"{describe(url)} did not answer in time") from None
        raise DestinationUnreachableError(f"{describe(url)} can't be reached: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'verify_message', '') or error.reason})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__


def _read_bounded(
    response: urllib3.response.BaseHTTPResponse, allowed: int, is_complete: Callable[[bytes], bool], url: str
) -> bytes:
    received = b""
    while not is_complete(received):
        chunk = response.read1(_CHUNK_BYTES, decode_content=True)
        if not chunk:
            break
        received += chunk
        if len(received) > allowed:
            raise ResponseTooLargeError(f"{describe(url)} answered with more than {allowed} bytes")
    return received


def _dial(
    host: str, port: int, deadline: float, kind: socket.SocketKind, *, private_networks: bool = False
) -> socket.socket:
    failure: Exception = DestinationUnreachableError(f"{host} has no address")
    is_inside_allowed = private_networks or settings.ALLOW_PRIVATE_NETWORKS
    for family, _, protocol, address in _resolve(host, port, deadline, kind):
        if not is_address_allowed(str(address[0]), private_networks=is_inside_allowed):
            # The address itself is left out: whoever typed the URL must not learn our network from the answer.
            failure = DestinationRefusedError(f"{host} leads to a private or reserved network, which is not allowed")
            continue
        dialled = socket.socket(family, kind, protocol)
        dialled.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            dialled.connect(address)
        except OSError as error:
            dialled.close()
            failure = error
            continue
        if kind == socket.SOCK_STREAM:
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return dialled
    raise failure


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]


def _resolve(host: str, port: int, deadline: float, kind: socket.SocketKind) -> list[_Address]:
    """Resolve within the deadline: the system's resolver has no time-out of its own that we could set."""
    answer: queue.SimpleQueue[list[_Address] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=kind)
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else OSError(0, "not a host name"))
        else:
            answer.put([(family, kind, protocol, address) for family, kind, protocol, _, address in found])

    threading.Thread(target=look_up, daemon=True).start()
    try:
        found = answer.get(timeout=max(0.001, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, OSError):
        raise found
    return found
