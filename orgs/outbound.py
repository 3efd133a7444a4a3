"""How this floor reaches the outside: through the bounded, address-checked client that the floor above provides."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class OutboundError(Exception):
    """The other side may not be reached, could not be reached, or answered with too much."""


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Sends one request and follows no redirect. Raises OutboundError."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> OutboundResponse: ...


class Dialler(Protocol):
    """Connects a socket, for what is not HTTP; its time-out is what is left of `seconds`. Raises OutboundError.

    `private_networks` is for a host that only the operator names: it may be inside, like a company's mail relay.
    """

    def __call__(
        self, host: str, port: int, *, kind: socket.SocketKind, seconds: float, private_networks: bool = False
    ) -> socket.socket: ...


_transports: list[Transport] = []
_diallers: list[Dialler] = []


def register_transport(transport: Transport, dialler: Dialler) -> None:
    _transports[:], _diallers[:] = [transport], [dialler]


def send(method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
    if not _transports:
        raise OutboundError("there is no way to the outside: no floor above has registered one")
    return _transports[0](method, url, headers=headers, body=body)


def dial(
    host: str, port: int, *, kind: socket.SocketKind, seconds: float, private_networks: bool = False
) -> socket.socket:
    if not _diallers:
        raise OutboundError("there is no way to the outside: no floor above has registered one")
    return _diallers[0](host, port, kind=kind, seconds=seconds, private_networks=private_networks)
