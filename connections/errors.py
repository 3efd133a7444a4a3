"""What can go wrong between us and an integration. Texts are fit for the person who meets them: no secret in any."""

from __future__ import annotations


class ConnectionsError(Exception):
    """Base of this floor's errors. `code` is what an API client sees."""

    code = "kontext_integration_error"


class EgressError(ConnectionsError):
    """A request to the outside gave no usable answer."""

    code = "kontext_integration_unreachable"


class DestinationRefusedError(EgressError):
    """We don't go there: not https, or a private address. Trying again changes nothing."""

    code = "kontext_destination_refused"


class DestinationUnreachableError(EgressError):
    """DNS, connection, TLS or time-out: may be different next time."""


class ResponseTooLargeError(EgressError):
    """The answer passed its limit and was cut off."""

    code = "kontext_integration_response_invalid"


class MalformedResponseError(EgressError):
    """The answer is not what the protocol says."""

    code = "kontext_integration_response_invalid"
