from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

Script = Callable[[socket.socket], None]


def read_request(peer: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (chunk := peer.recv(65536)):
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


class RawServer:
    """A TCP server on loopback that runs a script on each connection: it can misbehave as no HTTP library would."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.received = b""
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                try:
                    self.received = read_request(peer)
                    self._script(peer)
                except OSError:
                    pass

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def raw_server() -> Iterator[Callable[[Script], RawServer]]:
    servers: list[RawServer] = []

    def start(script: Script) -> RawServer:
        servers.append(RawServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def private_networks(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = True
