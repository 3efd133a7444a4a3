"""What can go wrong between us and an integration. Texts are fit for the person who meets them: no secret in any."""

from __future__ import annotations


class ConnectionsError(Exception):
    """Base of this floor's errors. `code` is what an API client sees, `mender` who can do something about it."""

    code = "kontext_integration_error"
    mender = "service"


class EgressError(ConnectionsError):
    """A request to the outside gave no usable answer."""

    code = "kontext_integration_unreachable"


class DestinationRefusedError(EgressError):
    """We don't go there: not https, or a private address. Trying again changes nothing."""

    code = "kontext_destination_refused"
    mender = "administrator"


class DestinationUnreachableError(EgressError):
    """DNS, connection, TLS or time-out: may be different next time."""


class ResponseTooLargeError(EgressError):
    """The answer passed its limit and was cut off."""

    code = "kontext_integration_response_invalid"


class MalformedResponseError(EgressError):
    """The answer is not what the protocol says."""

    code = "kontext_integration_response_invalid"


class DiscoveryError(ConnectionsError):
    """The integration's authorization server can't be found, or what it says of itself can't be trusted."""

    code = "kontext_discovery_failed"
    mender = "administrator"


class RegistrationError(ConnectionsError):
    """The authorization server did not take Kontext as its client."""

    code = "kontext_client_registration_failed"
    mender = "administrator"


class TokenRequestError(ConnectionsError):
    """A token endpoint gave no token. `provider_error` is its error code (RFC 6749 §5.2), made safe to show."""

    code = "kontext_oauth_token_exchange_failed"

    def __init__(self, text: str, *, provider_error: str = "") -> None:
        super().__init__(text)
        self.provider_error = provider_error


class InvalidGrantError(TokenRequestError):
    """The grant is over for good: only the person can mend that, by connecting again."""

    mender = "person"


class ClientRejectedError(TokenRequestError):
    """The server refuses Kontext as a client or the form of its request: an administrator can mend that."""

    mender = "administrator"


class TokenEndpointUnavailableError(TokenRequestError):
    """No usable answer: nothing is known about the grant, and nothing is changed."""


class RevocationFailedError(TokenRequestError):
    """The revocation endpoint did not confirm. It is tried again."""


class CallbackError(ConnectionsError):
    """What a browser brought back from an integration can't be trusted or is no longer valid."""

    code = "kontext_connect_callback_invalid"
    mender = "person"


class AuthorizationRefusedError(ConnectionsError):
    """The person, or the integration for them, declined. `reason` is the error code of RFC 6749 §4.1.2.1."""

    code = "kontext_connect_refused"
    mender = "person"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the integration did not grant access ({reason})")
        self.reason = reason


class ReauthorizationRequiredError(ConnectionsError):
    """There is no credential any more, for good: only the person can mend that, by connecting (again)."""

    code = "kontext_integration_connection_required"
    mender = "person"


class CredentialUnavailableError(ConnectionsError):
    """There is no usable credential now, but there may be later: nothing about the connection was changed."""

    code = "kontext_unavailable"


class ConnectLinkError(ConnectionsError):
    """The connect link was used, is too old, or was made for another person."""

    code = "kontext_not_found"
    mender = "person"


class ConnectLinkEndedError(ConnectLinkError):
    """The right person, but too late: the link was used, or its time is over."""

    code = "kontext_connect_link_ended"


class AnotherAccountError(ConnectionsError):
    """The integration is connected as another account. Nothing was replaced: the person has to say so."""

    code = "kontext_connect_another_account"
    mender = "person"


class KeyRefusedError(ConnectionsError):
    """The integration does not accept the key that was entered. Nothing was stored."""

    code = "kontext_connect_key_refused"
    mender = "person"


class MCPError(ConnectionsError):
    """The integration answered, but not as an MCP server should. `status` is that of HTTP, `rpc_code` JSON-RPC's."""

    code = "kontext_integration_response_invalid"

    def __init__(self, text: str, *, status: int = 200, rpc_code: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.rpc_code = rpc_code


class PartnerRefusedError(ConnectionsError):
    """A product could not prove itself, or its token does not tell who its person is."""

    code = "kontext_partner_refused"
    mender = "administrator"


class ReturnUrlError(ConnectionsError):
    """People are sent back to addresses that an administrator has listed, and to no other."""

    code = "kontext_return_url_refused"
    mender = "administrator"


class PersonUnknownError(ConnectionsError):
    """The product's person is nobody whom the organization knows."""

    code = "kontext_person_unknown"
    mender = "person"
