"""What can stop a call in the gateway. Texts are for the application's developer and hold no secret."""

from __future__ import annotations


class GatewayError(Exception):
    """Base of the gateway's errors: `code` is what an application sees, `status` the HTTP status it comes with."""

    code = "kontext_server_error"
    status = 500


class AuthenticationError(GatewayError):
    """The bearer token is missing or not good here. `error` is RFC 6750's code, empty where no token was sent."""

    code = "kontext_authorization_required"
    status = 401

    def __init__(self, description: str, *, error: str = "invalid_token") -> None:
        super().__init__(description)
        self.description = description
        self.error = error


class InsufficientScopeError(AuthenticationError):
    """The token is good but was not issued for calls. `scope` names all that is needed (RFC 6750 §3.1)."""

    status = 403

    def __init__(self, description: str, *, scope: str) -> None:
        super().__init__(description, error="insufficient_scope")
        self.scope = scope


class UnavailableError(GatewayError):
    """The gateway can't be sure, of who calls, of what is allowed, or that it is written down: so it does nothing."""

    code = "kontext_unavailable"
    status = 503


class ConnectionRequiredError(GatewayError):
    """The integration has no usable credential for this person. They, or an administrator, can mend that.

    `reason` is not_connected, revoked or reauthorization_required; `is_personal` is false where the organization's
    own key is missing, or where the application acts for nobody.
    """

    code = "kontext_integration_connection_required"
    status = 403

    def __init__(self, text: str, *, reason: str, is_personal: bool = True) -> None:
        super().__init__(text)
        self.reason = reason
        self.is_personal = is_personal


class CredentialUnavailableError(GatewayError):
    """The credential could not be renewed or opened just now. Nothing was changed; the call can be tried again."""

    code = "kontext_unavailable"
    status = 503
