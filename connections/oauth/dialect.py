"""How a service departs from the standards. All of it is declared, in the catalogue's files; nothing is coded for one.

A dialect is kept with its integration as it was when that was added, so that an upgraded catalogue changes nothing that
works. The defaults are the standards: RFC 6749, 7636 and 7009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the service that changes nothing: whose account is it, is this key any good.

    `authorization` is the header's value, `none` for no header at all, empty for how the credential is sent usually.
    At most one of `form`, `json` and `body` (JSON, sent as it stands) is given. `path` leads to the account's name,
    `ok` to what must be true in an answer that means yes. `refused` are the statuses that mean no.
    """

    url: str
    method: str = "GET"
    authorization: str = ""
    form: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    path: str = ""
    ok: str = ""
    refused: tuple[int, ...] = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """How a token is ended at the service.

    `authorization` is `client` (as at the token endpoint) or a header's value. Of `form` and `json` at most one is
    given; neither means what RFC 7009 says, unless `is_empty`. `tokens` are ended in this order.
    """

    url: str
    method: str = "POST"
    authorization: str = "client"
    form: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, str] = field(default_factory=dict)
    is_empty: bool = False
    tokens: tuple[str, ...] = ("refresh_token", "access_token")
    ok: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """An authorization server. Placeholders in its URLs are filled from the parameters.

    `issuer` stands in place of the URLs where a discovery document has them. `token_path` leads to the tokens in the
    answer to a code; `lifetime` (seconds) counts where an answer names no end, and `expires_at` names the member of an
    answer that says it as a point in time. `refresh_token` is `rotating`, `static`, `none`, or empty if not known.
    `grant_errors` are codes that mean here that a grant is over.
    """

    authorization_url: str = ""
    token_url: str = ""
    refresh_url: str = ""
    issuer: str = ""
    scopes: tuple[str, ...] = ()
    scope_parameter: str = "scope"
    scope_separator: str = " "
    pkce: bool = True
    client_auth: str = ""
    token_format: str = "form"  # noqa: S105
    authorize_parameters: Mapping[str, str] = field(default_factory=dict)
    token_parameters: Mapping[str, str | int] = field(default_factory=dict)
    refresh_parameters: Mapping[str, str | int] = field(default_factory=dict)
    refresh_sends_scopes: bool = False
    token_path: str = ""
    token_types: tuple[str, ...] = ("bearer",)
    lifetime: int | None = None
    expires_at: str = ""
    refresh_token: str = ""
    grant_errors: tuple[str, ...] = ()
    header: str = "Authorization"
    template: str = "Bearer {token}"
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What is not the same for everybody: a subdomain, a tenant, the host that a token is for.

    `source` says who knows it: the operator, or the service itself, in the answer with the `token`, in the `redirect`,
    in the `account` call or in a `call` of its own to `url`; there `path` leads to it. An operator may fix it anyway.
    """

    source: str = "operator"
    kind: str = "word"
    label: str = ""
    example: str = ""
    default: str = ""
    path: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one integration's OAuth is like. `headers` go with each call to the service's API."""

    oauth: OAuth = field(default_factory=OAuth)
    account: Call | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def find_parameters(self, source: str) -> dict[str, Parameter]:
        """Return those that this source tells, and that nobody has fixed."""
        return {
            name: parameter
            for name, parameter in self.parameters.items()
            if parameter.source == source and name not in self.values
        }


STANDARD = Dialect()
