"""With which status the API answers what this floor's services refuse."""

from __future__ import annotations

from connections import errors
from orgs.api.errors import register_refusal

_STATUSES: list[tuple[type[Exception], int]] = [
    (errors.ConnectionsError, 502),
    (errors.DestinationRefusedError, 400),
    (errors.KeyRefusedError, 400),
    (errors.ReauthorizationRequiredError, 403),
    (errors.AnotherAccountError, 409),
]


def register_refusals() -> None:
    for base, status in _STATUSES:
        register_refusal(base, status=status)
