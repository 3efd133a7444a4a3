"""Lends the egress client to the floor below, which signs people in at their identity providers and streams events."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from connections import egress
from connections.errors import EgressError
from orgs.outbound import OutboundError, OutboundResponse


def send(method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
    try:
        response = egress.request(method, url, headers=headers, body=body)
    except EgressError as error:
        raise OutboundError(str(error)) from error
    return OutboundResponse(response.status, response.headers, response.body)


def dial(
    host: str, port: int, *, kind: socket.SocketKind, seconds: float, private_networks: bool = False
) -> socket.socket:
    try:
        return egress.dial(host, port, kind=kind, seconds=seconds, private_networks=private_networks)
    except EgressError as error:
        raise OutboundError(str(error)) from error
