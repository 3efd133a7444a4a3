"""What can stop a call in the gateway. Texts are for the application's developer and hold no secret."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.facts import ApprovalPage
    from policy.engine import Decision


class GatewayError(Exception):
    """Base of the gateway's errors: `code` is what an application sees, `status` the HTTP status it comes with.

    `rpc_code` is the error's code where the answer is a JSON-RPC message.
    """

    code = "kontext_server_error"
    status = 500
    rpc_code = -32603

    def get_headers(self) -> dict[str, str]:
        return {}

    def get_details(self) -> dict[str, Any]:
        """Return what the `data` of a JSON-RPC error says beyond code and request ID."""
        return {}


class AuthenticationError(GatewayError):
    """The bearer token is missing or not good here. `error` is RFC 6750's code, empty where no token was sent."""

    code = "kontext_authorization_required"
    status = 401

    def __init__(self, description: str, *, error: str = "invalid_token") -> None:
        super().__init__(description)
        self.description = description
        self.error = error
        self.challenge = ""

    def get_headers(self) -> dict[str, str]:
        return {"www-authenticate": self.challenge} if self.challenge else {}


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
    rpc_code = -32005

    def get_headers(self) -> dict[str, str]:
        return {"retry-after": "1"}


class ConnectionRequiredError(GatewayError):
    """The integration has no usable credential for this person. They, or an administrator, can mend that.

    `reason` is not_connected, revoked or reauthorization_required; `is_personal` is false where the organization's
    own key is missing, or where the application acts for nobody.
    """

    code = "kontext_integration_connection_required"
    status = 403
    rpc_code = -32004

    def __init__(self, text: str, *, reason: str, is_personal: bool = True) -> None:
        super().__init__(text)
        self.reason = reason
        self.is_personal = is_personal


class CredentialUnavailableError(UnavailableError):
    """The credential could not be renewed or opened just now. Nothing was changed; the call can be tried again."""


class MalformedRequestError(GatewayError):
    """The HTTP request is not one that MCP allows."""

    code = "kontext_mcp_invalid_request"
    status = 400
    rpc_code = -32600


class HostRefusedError(MalformedRequestError):
    code = "kontext_host_refused"


class OriginRefusedError(MalformedRequestError):
    code = "kontext_origin_refused"
    status = 403


class BodyTooLargeError(MalformedRequestError):
    code = "kontext_body_too_large"
    status = 413


class NotAllowedMethodError(MalformedRequestError):
    code = "kontext_method_not_allowed"
    status = 405

    def __init__(self, text: str, *, allowed: str) -> None:
        super().__init__(text)
        self.allowed = allowed

    def get_headers(self) -> dict[str, str]:
        return {"allow": self.allowed}


class RateLimitedError(MalformedRequestError):
    """Too much was asked for at once. `seconds` is when it may be asked for again."""

    code = "kontext_rate_limited"
    status = 429

    def __init__(self, text: str, *, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds

    def get_headers(self) -> dict[str, str]:
        return {"retry-after": str(self.seconds)}


class UnsupportedMediaTypeError(MalformedRequestError):
    code = "kontext_mcp_invalid_request"
    status = 415


class NotFoundError(GatewayError):
    """There is nothing here, or nothing this application may know of."""

    code = "kontext_not_found"
    status = 404
    rpc_code = -32600


class MalformedMessageError(MalformedRequestError):
    """The body is not one acceptable JSON-RPC message. `request_id` is its id where that could be read."""

    def __init__(self, text: str, rpc_code: int = -32600, request_id: str | int | None = None) -> None:
        super().__init__(text)
        self.rpc_code = rpc_code
        self.request_id = request_id


class InvalidParamsError(MalformedRequestError):
    code = "kontext_mcp_invalid_params"
    rpc_code = -32602


class HeaderMismatchError(MalformedRequestError):
    """Headers and body of a 2026-07-28 request say different things."""

    code = "kontext_mcp_header_mismatch"
    rpc_code = -32020


class UnsupportedVersionError(MalformedRequestError):
    code = "kontext_mcp_unsupported_version"
    rpc_code = -32022

    def __init__(self, text: str, *, details: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.details = details

    def get_details(self) -> dict[str, Any]:
        return dict(self.details)


class UnknownMethodError(GatewayError):
    """The method is not among those the gateway lets through. 2026-07-28 prescribes 404, older revisions 200."""

    code = "kontext_mcp_method_not_found"
    rpc_code = -32601

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class SessionExpiredError(GatewayError):
    """The session is not one of this principal's, or has ended. 404 tells a client to initialize anew."""

    code = "kontext_mcp_session_expired"
    status = 404
    rpc_code = -32600


class CapabilityUnavailableError(GatewayError):
    """The capability is unknown, held for review, or removed (`reason`). For the application to read: HTTP 200."""

    code = "kontext_capability_unavailable"
    status = 200
    rpc_code = -32602

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason

    def get_details(self) -> dict[str, Any]:
        return {"reason": self.reason}


class PolicyDeniedError(GatewayError):
    """The rules refuse the call. HTTP 200: clients read a JSON-RPC error only there, and people need the reason."""

    code = "kontext_policy_denied"
    status = 200
    rpc_code = -32003

    def __init__(self, text: str, decision: Decision, *, page: str = "") -> None:
        super().__init__(text)
        self.decision = decision
        self.page = page

    def get_details(self) -> dict[str, Any]:
        decision = self.decision
        return {
            "layer": decision.deciding.value if decision.deciding is not None else None,
            "rule": decision.rule_ids[0] if decision.rule_ids else None,
            "explanation": decision.explain(),
            **({"page": self.page} if self.page else {}),
        }


class DelegationPausedError(GatewayError):
    """The person has paused the application. `page` is where they resume it; until then nothing passes."""

    code = "kontext_delegation_paused"
    status = 403
    rpc_code = -32008

    def __init__(self, text: str, *, page: str) -> None:
        super().__init__(text)
        self.page = page

    def get_details(self) -> dict[str, Any]:
        return {"page": self.page}


class ApprovalRequiredError(PolicyDeniedError):
    """The rules ask somebody first. `pages` are where: one for each layer that asks; none where nobody can be asked.

    `reason` is approval_required; or, without pages, refused, too_large, bad_name, too_many, or busy.
    """

    code = "kontext_approval_required"

    def __init__(
        self, text: str, decision: Decision, *, pages: Sequence[ApprovalPage] = (), reason: str = "approval_required"
    ) -> None:
        super().__init__(text, decision)
        self.pages = pages
        self.reason = reason

    def get_details(self) -> dict[str, Any]:
        return {
            **super().get_details(),
            "reason": self.reason,
            "approvals": [page.as_dict() for page in self.pages],
        }


class ApprovalRefusedError(ApprovalRequiredError):
    """Somebody was asked about this very call lately, and said no."""

    code = "kontext_approval_denied"


class LimitReachedError(PolicyDeniedError):
    """The rules would allow the call, but not so often: `until` (unix seconds) the limit is used up."""

    code = "kontext_limit_reached"
    rpc_code = -32007

    def __init__(self, text: str, decision: Decision, until: float) -> None:
        super().__init__(text, decision)
        self.seconds = max(1, math.ceil(until - time.time()))

    def get_headers(self) -> dict[str, str]:
        return {"retry-after": str(self.seconds)}

    def get_details(self) -> dict[str, Any]:
        return {**super().get_details(), "retryAfter": self.seconds}


class IntegrationUnreachableError(GatewayError):
    """The integration could not be reached, or did not answer in time. Whether it acted is not known."""

    code = "kontext_integration_unreachable"
    status = 502
    rpc_code = -32006


class IntegrationAnswerError(GatewayError):
    """The integration answered with something that is not MCP, or too much of it."""

    code = "kontext_integration_response_invalid"
    status = 502
    rpc_code = -32006
