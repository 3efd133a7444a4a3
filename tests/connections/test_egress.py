"""Server-side request forgery, and peers that answer too much, too slowly or not at all (THREATS 20 and 21)."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from pytest_django import Settings

from connections import egress
from connections.errors import (
    DestinationRefusedError,
    DestinationUnreachableError,
    MalformedResponseError,
    ResponseTooLargeError,
)
from tests.connections.conftest import RawServer, Script

Start = Callable[[Script], RawServer]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
QUICK = egress.Limits(seconds=0.6, body_bytes=10_000)


def answer(raw: bytes) -> Script:
    return lambda peer: peer.sendall(raw)


@pytest.mark.usefixtures("private_networks")
def test_request_returns_status_headers_and_body(raw_server: Start) -> None:
    server = raw_server(answer(b"HTTP/1.1 418 no\r\nX-A: b\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'))
    response = egress.post_form(server.url + "token?x=1", {"a": "b c"}, headers={"X-Mine": "1"})
    assert (response.status, response.headers["x-a"], response.json()) == (418, "b", {"a": 1})
    assert server.received.startswith(b"POST /token?x=1 HTTP/1.1\r\n")
    assert b"\r\nX-Mine: 1\r\n" in server.received
    assert server.received.endswith(b"\r\n\r\na=b+c")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0177.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0", "[::]"]
)
def test_request_to_loopback_in_any_spelling_never_connects(raw_server: Start, settings: Settings, host: str) -> None:
    server = raw_server(answer(OK))
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises((DestinationRefusedError, DestinationUnreachableError)):
        egress.request("GET", f"https://{host}:{server.port}/", limits=QUICK)
    assert server.connections == 0


def test_request_refused_address_is_not_named_in_the_error(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises(DestinationRefusedError) as refusal:
        egress.request("GET", "https://localhost:9/")
    assert "127.0.0.1" not in str(refusal.value)


def test_request_dials_the_address_that_was_checked(
    raw_server: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with a public address first and with a private one later gets one look-up, and one check."""
    settings.ALLOW_PRIVATE_NETWORKS = False
    server = raw_server(answer(OK))
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", server.port))
    private = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
    lookups: list[str] = []

    def rebinding(host: str, *_: Any, **__: Any) -> list[Any]:
        lookups.append(host)
        return [public] if len(lookups) == 1 else [private]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    for _ in range(2):
        with pytest.raises(DestinationRefusedError):
            egress.request("GET", f"https://rebind.example:{server.port}/", limits=QUICK)
    assert lookups == ["rebind.example"] * 2
    assert server.connections == 0


@pytest.mark.usefixtures("private_networks")
def test_request_does_not_follow_a_redirect(raw_server: Start) -> None:
    aim = raw_server(answer(OK))
    server = raw_server(answer(f"HTTP/1.1 302 Found\r\nLocation: {aim.url}\r\nContent-Length: 0\r\n\r\n".encode()))
    assert egress.request("GET", server.url).status == 302
    assert aim.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:password@example.com/",
        "https://user@example.com/",
        "https://example.com:port/",
        "https://[::1",
        "https://example.com/a b",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/`id`",
        "https://example.com\\@evil.example/",
        "https://exämple.com/",
        "",
    ],
)
@pytest.mark.usefixtures("private_networks")
def test_check_url_refuses_what_is_not_plain_http(url: str) -> None:
    with pytest.raises(DestinationRefusedError):
        egress.check_url(url)


def test_check_url_without_tls_is_for_private_networks_only(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises(DestinationRefusedError, match="https"):
        egress.check_url("http://example.com/")
    settings.ALLOW_PRIVATE_NETWORKS = True
    assert egress.check_url("http://example.com/a?b").hostname == "example.com"


def endless_body(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.sendall(b"x" * 65536)


def endless_chunks(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


def bomb(peer: socket.socket) -> None:
    body = gzip.compress(bytes(50_000_000))
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("script", [endless_body, endless_chunks, bomb])
@pytest.mark.usefixtures("private_networks")
def test_request_answered_with_too_much_is_cut_off(raw_server: Start, script: Script) -> None:
    with pytest.raises(ResponseTooLargeError):
        egress.request("GET", raw_server(script).url, limits=egress.Limits(seconds=5, body_bytes=10_000))


def endless_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in count():
        peer.sendall(b"X-%d: y\r\n" % number)


@pytest.mark.usefixtures("private_networks")
def test_request_answered_with_endless_headers_fails(raw_server: Start) -> None:
    with pytest.raises(DestinationUnreachableError):
        egress.request("GET", raw_server(endless_headers).url, limits=egress.Limits(seconds=5))


def drip(first: bytes) -> Script:
    def script(peer: socket.socket) -> None:
        peer.sendall(first)
        while True:
            time.sleep(0.05)
            peer.sendall(b"x")

    return script


def silent(peer: socket.socket) -> None:
    peer.recv(1)


SLOW = [drip(b"HTTP/1.1 200 OK\r\n\r\n"), drip(b"HTTP/1.1 200 OK\r\nX-A: "), drip(b""), silent]


@pytest.mark.parametrize("script", SLOW, ids=["body", "headers", "status line", "nothing"])
@pytest.mark.usefixtures("private_networks")
def test_request_answered_too_slowly_ends_at_its_deadline(raw_server: Start, script: Script) -> None:
    server = raw_server(script)
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError, match="in time"):
        egress.request("GET", server.url, limits=QUICK)
    assert time.monotonic() - started < 2


@pytest.mark.usefixtures("private_networks")
def test_request_over_tls_with_a_slow_handshake_ends_at_its_deadline(raw_server: Start) -> None:
    server = raw_server(drip(b"\x16\x03\x03\x40\x00"))
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError):
        egress.request("GET", server.url.replace("http:", "https:"), limits=QUICK)
    assert time.monotonic() - started < 2


@pytest.mark.usefixtures("private_networks")
def test_request_with_a_slow_resolver_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(5) and [])
    with pytest.raises(DestinationUnreachableError, match="in time"):
        egress.request("GET", "https://slow.example/", limits=QUICK)
    release.set()


@pytest.mark.parametrize("raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
@pytest.mark.usefixtures("private_networks")
def test_request_answered_with_half_an_answer_fails(raw_server: Start, raw: bytes) -> None:
    with pytest.raises(DestinationUnreachableError):
        egress.request("GET", raw_server(answer(raw)).url, limits=QUICK)


@pytest.mark.usefixtures("private_networks")
def test_request_to_a_closed_port_says_so_without_the_query(raw_server: Start) -> None:
    server = raw_server(answer(OK))
    server.close()
    with pytest.raises(DestinationUnreachableError, match="refused") as failure:
        egress.request("GET", server.url + "?code=secret")
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'"text"', b"[" * 5000, b"\xff\xfe"])
def test_json_of_anything_but_an_object_fails(body: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        egress.Response("https://example.com/?q=secret", 200, {}, body).json()


def test_response_text_form_shows_no_body() -> None:
    assert "token" not in repr(egress.Response("https://example.com/", 200, {"a": "token"}, b"token"))
