"""CEF by syslog (RFC 5424): over TLS (RFC 5425) or TCP with counted octets (RFC 6587), or as datagrams (RFC 5426).

Syslog has no answer. Over TLS and TCP a batch counts as delivered when the collector, told that we have finished, has
closed the connection in order: then it has read to the end. A datagram's sender learns nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.cef import to_cef
from audit.models import AuditEvent
from orgs.outbound import OutboundError, dial
from orgs.outlets.base import Batch, UnreachableError

_PORTS = {"tls": 6514, "tcp": 601, "udp": 514}
_SECONDS = 15.0
_LOG_AUDIT = 13  # the facility
_WARNING, _NOTICE, _INFORMATIONAL = 4, 5, 6
_SEVERITY = {"ok": _INFORMATIONAL, "": _INFORMATIONAL, "cancelled": _INFORMATIONAL, "denied": _WARNING}


@dataclass(frozen=True)
class SyslogOutlet:
    """`scheme` is tls, tcp or udp; `origin` is the host name that messages carry."""

    scheme: str
    host: str
    port: int
    origin: str
    name: str = "syslog"

    def send(self, batch: Batch) -> None:
        messages = [make_message(event, index, self.origin) for index, event in enumerate(batch.events, batch.start)]
        kind = socket.SOCK_DGRAM if self.scheme == "udp" else socket.SOCK_STREAM
        deadline = time.monotonic() + _SECONDS
        try:
            with contextlib.closing(dial(self.host, self.port, kind=kind, seconds=_SECONDS)) as connection:
                self._write(connection, messages, deadline)
        except OutboundError as error:
            raise UnreachableError(str(error)) from None
        except OSError as error:
            raise UnreachableError(f"{self.host}:{self.port}: {_describe(error)}") from None

    def _write(self, connection: socket.socket, messages: Sequence[bytes], deadline: float) -> None:
        if self.scheme == "udp":
            for message in messages:
                connection.send(message)
            return
        framed = b"".join(b"%d %b" % (len(message), message) for message in messages)
        if self.scheme == "tcp":
            connection.sendall(framed)
            connection.shutdown(socket.SHUT_WR)
            _read_to_end(connection, deadline)
            return
        with _tls_context().wrap_socket(connection, server_hostname=self.host) as secured:
            secured.sendall(framed)
            # Tells it that we have finished, and waits until it has, too.
            with contextlib.suppress(ssl.SSLEOFError):
                secured.unwrap()


def make_message(event: AuditEvent, index: int, origin: str) -> bytes:
    """Return one syslog message. `index` is the event's place in its tree."""
    priority = _LOG_AUDIT * 8 + _SEVERITY.get(event.outcome, _NOTICE)
    moment = event.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # CEF's parsers look for "CEF:" at the beginning: no byte order mark, which makes it RFC 5424's MSG-ANY.
    return f"<{priority}>1 {moment} {origin} kontext - {event.type[:32]} - {to_cef(event, sequence=index)}".encode()


def from_settings() -> SyslogOutlet | None:
    if not settings.EVENT_STREAM_SYSLOG:
        return None
    parts = urlsplit(settings.EVENT_STREAM_SYSLOG)
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path not in ("", "/"):
        raise ImproperlyConfigured("KONTEXT_EVENT_STREAM_SYSLOG must read tls://host:6514, tcp://host or udp://host")
    return SyslogOutlet(parts.scheme, host, port, urlsplit(settings.PUBLIC_URL).hostname or "-")


def _read_to_end(connection: socket.socket, deadline: float) -> None:
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        if not connection.recv(4096):
            return


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _describe(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not take everything in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'verify_message', '') or error.reason})"
    return (error.strerror or type(error).__name__).lower()
