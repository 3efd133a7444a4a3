"""Syslog against listeners of its three transports, that read to the end, hang up, or never stop."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from pytest_django import Settings

from orgs.outlets import syslog
from orgs.outlets.base import OutletError, UnreachableError
from orgs.outlets.configured import get_outlets
from orgs.outlets.syslog import SyslogOutlet, make_message
from tests.e2e.processes import free_port
from tests.outlets.collectors import make_batch

pytestmark = pytest.mark.django_db
Handle = Callable[[socket.socket], bytes]


class Listener:
    """Accepts connections and keeps what `handle` returns of each."""

    def __init__(self, handle: Handle, context: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self._handle, self._context = handle, context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(5)
                try:
                    secured = self._context.wrap_socket(peer, server_side=True) if self._context else peer
                    self.received.append(self._handle(secured))
                    secured.close()
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


def read_all(peer: socket.socket) -> bytes:
    received = b""
    while chunk := peer.recv(65536):
        received += chunk
    return received


def read_all_and_say_goodbye(peer: socket.socket) -> bytes:
    received = read_all(peer)
    assert isinstance(peer, ssl.SSLSocket)
    peer.unwrap()
    return received


def hang_up(peer: socket.socket) -> bytes:
    return peer.recv(10)  # the rest is unread: the kernel resets the connection


def split_frames(stream: bytes) -> list[bytes]:
    """Read RFC 6587's counted octets."""
    frames = []
    while stream:
        length, _, rest = stream.partition(b" ")
        frames.append(rest[: int(length)])
        stream = rest[int(length) :]
    return frames


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def start(handle: Handle = read_all, context: ssl.SSLContext | None = None) -> Listener:
        made.append(Listener(handle, context))
        return made[-1]

    yield start
    for listener in made:
        listener.close()


@pytest.fixture(autouse=True)
def _near(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = True


def outlet(scheme: str, port: int, host: str = "127.0.0.1") -> SyslogOutlet:
    return SyslogOutlet(scheme, host, port, "kontext.test")


def test_message_is_rfc_5424_with_cef() -> None:
    [event] = make_batch(1).events
    event.occurred_at = dt.datetime(2026, 11, 25, 1, 2, 3, 4, tzinfo=dt.UTC)
    message = make_message(event, 7, "kontext.test").decode()
    assert message.startswith(
        "<110>1 2026-11-25T01:02:03.000004Z kontext.test kontext - person.signed_in - CEF:0|Kontext|"
    )
    event.outcome = "denied"
    assert make_message(event, 7, "kontext.test").startswith(b"<108>1 ")


def test_tcp_sends_counted_messages_and_waits_until_they_are_read(listen: Callable[..., Listener]) -> None:
    listener, batch = listen(), make_batch(300, name="ü=|\n")
    outlet("tcp", listener.port).send(batch)
    [stream] = listener.received
    frames = split_frames(stream)
    assert len(frames) == 300
    assert [re.search(rb"externalId=(\S+)", frame)[1].decode() for frame in frames] == [  # type: ignore[index]
        str(event.pk) for event in batch.events
    ]


def test_tcp_that_hangs_up_unread_has_not_got_it(listen: Callable[..., Listener]) -> None:
    listener = listen(hang_up)
    with pytest.raises(UnreachableError):
        outlet("tcp", listener.port).send(make_batch(3000))


def test_tcp_that_never_finishes_is_given_up(listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(syslog, "_SECONDS", 0.3)

    def stall(peer: socket.socket) -> bytes:
        over.wait(5)
        return b""

    try:
        with pytest.raises(UnreachableError, match="in time"):
            outlet("tcp", listen(stall).port).send(make_batch())
    finally:
        over.set()


def test_udp_sends_a_datagram_each() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        outlet("udp", receiver.getsockname()[1]).send(make_batch(3))
        received = [receiver.recv(65536) for _ in range(3)]
    assert all(message.startswith(b"<110>1 ") for message in received)


@pytest.mark.parametrize("handle", [read_all, read_all_and_say_goodbye])
def test_tls_checks_the_collector_and_sends(
    listen: Callable[..., Listener], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handle: Handle
) -> None:
    server, ca = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    listener = listen(handle, server)
    outlet("tls", listener.port, "localhost").send(make_batch(50))
    assert len(split_frames(listener.received[0])) == 50


def test_tls_of_a_stranger_gets_nothing(listen: Callable[..., Listener], tmp_path: Path) -> None:
    server, _ = make_certificate(tmp_path)
    listener = listen(read_all, server)
    with pytest.raises(UnreachableError, match="TLS failed"):
        outlet("tls", listener.port, "localhost").send(make_batch())
    assert listener.received == []


def test_private_address_is_not_dialled_unless_allowed(settings: Settings, listen: Callable[..., Listener]) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    listener = listen()
    for scheme in ("tcp", "udp", "tls"):
        with pytest.raises(OutletError, match="not allowed"):
            outlet(scheme, listener.port).send(make_batch())
    assert listener.received == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("tls://siem.test", ("tls", "siem.test", 6514)),
        ("tcp://siem.test:1514", ("tcp", "siem.test", 1514)),
        ("udp://[2001:db8::1]", ("udp", "2001:db8::1", 514)),
    ],
)
def test_setting_names_transport_host_and_port(settings: Settings, url: str, expected: tuple[Any, ...]) -> None:
    settings.EVENT_STREAM_SYSLOG = url
    found = get_outlets()["syslog"]
    assert isinstance(found, SyslogOutlet)
    assert (found.scheme, found.host, found.port) == expected
    assert replace(found, port=1) != found


@pytest.mark.parametrize("url", ["siem.test:514", "http://siem.test", "tls://", "tls://siem.test/x", "tcp://a:99999"])
def test_setting_that_is_none_is_refused(settings: Settings, url: str) -> None:
    settings.EVENT_STREAM_SYSLOG = url
    with pytest.raises(ImproperlyConfigured, match="KONTEXT_EVENT_STREAM_SYSLOG"):
        get_outlets()


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for `localhost`, and the file that a client would have to trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "server.pem", folder / "server.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def test_rsyslog_reads_what_is_sent(tmp_path: Path) -> None:
    """Against a collector that somebody else wrote, and that many have."""
    program = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("rsyslog is not installed")
    port, target, batch = free_port(), tmp_path / "received", make_batch(200, name="ü=|\\")
    (tmp_path / "rsyslog.conf").write_text(
        f'global(workDirectory="{tmp_path}" maxMessageSize="64k")\n'
        'module(load="imtcp")\n'
        f'input(type="imtcp" address="127.0.0.1" port="{port}")\n'
        'template(name="whole" type="string" string="%pri% %hostname% %app-name% %msgid% %msg%\\n")\n'
        f'action(type="omfile" file="{target}" template="whole")\n'
    )
    command = [program, "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as collector:
        try:
            _wait_for(port)
            outlet("tcp", port).send(batch)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and len(_read_lines(target)) < 200:
                time.sleep(0.1)
        finally:
            collector.terminate()
    lines = _read_lines(target)
    assert re.findall(r"externalId=(\S+)", "\n".join(lines)) == [str(event.pk) for event in batch.events]
    assert lines[0].startswith("110 kontext.test kontext person.signed_in")
    assert "ü\\=|" in lines[0]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)


def _read_lines(target: Path) -> list[str]:
    return target.read_text().splitlines() if target.exists() else []
