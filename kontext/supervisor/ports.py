"""Ports that stay the same from start to start, as long as they are free."""

from __future__ import annotations

import json
import socket
from pathlib import Path


class PortTakenError(Exception):
    """A port that was asked for by number is in use by another program."""


class PortBook:
    """Which port each part of this data folder's installation uses.

    A part gets its default port, or a free one where another program has that; what was chosen is written down, since
    the addresses of issuers and callbacks end up in the database and must outlive a restart.
    """

    def __init__(self, path: Path, *, host: str = "127.0.0.1") -> None:
        self.path = path
        self.host = host
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def choose(self, name: str, *, default: int) -> int:
        """Return a port for this part that is free at this moment."""
        others = {port for other, port in self._ports.items() if other != name}
        wanted = [port for port in (self._ports.get(name), default) if port is not None and port not in others]
        port = next((port for port in wanted if is_free(port, host=self.host)), None) or _free_port(self.host)
        return self._write_down(name, port)

    def require(self, name: str, port: int) -> int:
        """Return this very port; raise PortTakenError where it is in use."""
        if not is_free(port, host=self.host):
            raise PortTakenError(f"port {port} is in use by another program: choose another one for {name}")
        return self._write_down(name, port)

    def _write_down(self, name: str, port: int) -> int:
        if self._ports.get(name) != port:
            self._ports[name] = port
            self.path.write_text(json.dumps(self._ports, indent=2) + "\n")
        return port


def is_free(port: int, *, host: str) -> bool:
    with socket.socket() as candidate:
        # As servers do: a port that only has connections in TIME_WAIT is free.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
        return True


def _free_port(host: str) -> int:
    with socket.socket() as candidate:
        candidate.bind((host, 0))
        return int(candidate.getsockname()[1])
