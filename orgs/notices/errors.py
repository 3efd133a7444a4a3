from __future__ import annotations


class DeliveryError(Exception):
    """The notice did not arrive, or nobody said that it did. The text is for administrators, and holds no secret."""


class RefusedForGoodError(DeliveryError):
    """Trying again would change nothing: the address is not there any more."""
