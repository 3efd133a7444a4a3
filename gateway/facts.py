"""What the data plane knows: immutable values, compiled from the database and replaced as a whole.

Identifiers are canonical lower-case UUID strings, times are seconds since the epoch, as in policy.engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.capture import Capture
    from connections.injection import Recipe
    from policy.engine import Grants, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationFacts:
    """An integration. `capture` says what is kept of calls' content, None that it is digests alone."""

    id: str
    slug: str
    name: str
    url: str
    auth_mode: str
    category: str
    recipe: Recipe
    is_active: bool
    capture: Capture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityFacts:
    """A capability as pinned: `digest` is of the definition that was accepted, `status` says whether it still holds."""

    name: str
    kind: str
    klass: str
    status: str
    digest: str

    @property
    def is_active(self) -> bool:
        return self.status == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationFacts:
    """`integrations` are the identifiers of those that it may use at all."""

    id: str
    client_id: str
    name: str
    integrations: frozenset[str]
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFacts:
    """A member. `groups` are identifiers; `is_active` is false where the person or the membership is suspended."""

    id: str
    name: str
    groups: frozenset[str]
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationFacts:
    """A consent that has not been revoked. A token issued before `granted_at` does not count."""

    granted_at: float
    expires_at: float | None
    is_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """One organization at one version. Two are the same only if they are one object.

    `integrations` by slug; `capabilities` by (integration id, kind, name); `applications` by client_id; `people` by
    user id; `delegations` by (user id, application id); `revoked` are the identifiers of tokens that have not expired.
    `digest_key` keys the digests of arguments (HMAC-SHA-256). `grants` are the approvals that a call doesn't use up.
    `erasures` counts the payload keys that were erased: one found before the last of them may be among them.
    """

    organization_id: str
    version: int
    is_active: bool
    policy: Policy
    integrations: Mapping[str, IntegrationFacts]
    capabilities: Mapping[tuple[str, str, str], CapabilityFacts]
    applications: Mapping[str, ApplicationFacts]
    people: Mapping[str, PersonFacts]
    delegations: Mapping[tuple[str, str], DelegationFacts]
    revoked: frozenset[str]
    grants: Grants
    erasures: int
    digest_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls, as a verified token says. `user_id` is None where the application acts for itself.

    `is_paused`: the person has paused the application, so whatever it asks for them is refused.
    """

    organization_id: str
    user_id: str | None
    application_id: str
    client_id: str
    jti: str
    scopes: frozenset[str]
    resource: str
    issued_at: int
    expires_at: int
    user_name: str
    application_name: str
    is_paused: bool = False


@dataclass(slots=True, kw_only=True)
class Injection:
    """What is added to a forwarded request, and whose it is. `generation` counts the credentials of a connection."""

    headers: Mapping[str, str] = field(repr=False)
    connection_id: str | None = None
    account: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectLink:
    """Where a person connects an integration: a page of ours that only that person can open."""

    url: str = field(repr=False)
    elicitation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPage:
    """Where one layer's question about a call is answered, by whom, and the code that the person finds there."""

    id: str
    url: str
    layer: str
    by: str
    code: str
    expires_at: str

    def as_dict(self) -> dict[str, str]:
        """Return it as an error's data says it: the handle of a task that is pending."""
        return {
            "id": self.id,
            "status": "pending",
            "layer": self.layer,
            "by": self.by,
            "code": self.code,
            "url": self.url,
            "expiresAt": self.expires_at,
        }
