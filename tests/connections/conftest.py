from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from connections.models import Integration
from connections.services.add_integration import add_integration
from connections.services.discover_integration import discover_integration
from orgs.models import User
from tests.e2e.live import start_github
from tests.e2e.peers import GitHub
from tests.e2e.processes import Process
from tests.factories import Cast, make_cast

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


@pytest.fixture(scope="session")
def github_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    processes: list[Process] = []
    try:
        yield start_github(tmp_path_factory.mktemp("github"), processes)
    finally:
        for process in processes:
            process.stop()


@pytest.fixture
def github(github_process: GitHub) -> GitHub:
    """The demo GitHub, a process of its own, as if nobody had been there before."""
    github_process.set_token_lifetime(3600)
    github_process.revoke_everything()
    github_process.forget_requests()
    return github_process


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def integration(cast: Cast, github: GitHub) -> Integration:
    """Acme's GitHub: the demo GitHub, discovered and in use."""
    made = add_integration(organization=cast.acme, slug="code", name="Code", url=github.url)
    return discover_integration(integration=made)


@pytest.fixture
def sign_in() -> Callable[[User], Client]:
    """Return a browser with a session of this person."""

    def signed_in(user: User) -> Client:
        browser = Client()
        browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return browser

    return signed_in
