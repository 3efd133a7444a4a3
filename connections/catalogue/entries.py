"""What an entry of the catalogue says about a service, and the ways in which it can be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from connections.filling import find_names
from connections.oauth.dialect import Call, OAuth, Parameter

# Who can bring Kontext's client at an MCP server into being.
REGISTRATIONS = {
    "dynamic": "Kontext registers itself",
    "metadata_document": "Kontext shows its metadata document",
    "preregistered": "an administrator registers Kontext there and enters the client",
    "token": "a key, no sign-in",
    "none": "nothing at all",
    "unknown": "sign-in; how Kontext is registered there is not known, discovery finds out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MCP:
    """The service's own MCP server, for the gateway. `key_header` and `key_template` are for keys there."""

    url: str
    registration: str = "unknown"
    alternatives: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    key_header: str = "Authorization"
    key_template: str = "Bearer {token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class API:
    """The service's plain API, for applications that are handed the credential. `headers` go with every call."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that is pasted: `fields` names what is asked for, with its label; the one named `token` is the key.

    `basic` is what `{basic}` in the template encodes. `url` is the API's address where it is another one with a key.
    """

    header: str = "Authorization"
    template: str = "Bearer {token}"
    fields: Mapping[str, str] = field(default_factory=lambda: {"token": "API key"})
    visible: tuple[str, ...] = ()
    basic: str = ""
    help_url: str = ""
    url: str = ""
    check: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to use a service. `use` is `mcp` (through the gateway) or `api` (the application calls by itself)."""

    use: str
    auth_mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A service. The file's name is its slug. `unsure` names fields that rest on one weak source."""

    name: str
    category: str
    docs_url: str
    auth_modes: tuple[str, ...]
    sources: tuple[str, ...]
    slug: str = ""
    notes: str = ""
    confidence: str = "high"
    unsure: tuple[str, ...] = ()
    mcp: MCP | None = None
    api: API | None = None
    oauth: OAuth | None = None
    account: Call | None = None
    key: Key | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Tell this version of the entry from every other."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def ways(self) -> list[Way]:
        """Return the ways in which it can be used; the one to propose comes first."""
        return [*self._get_mcp_ways(), *self._get_api_ways()]

    def find_url(self, way: Way) -> str:
        """Return the address, with placeholders, that an integration of this way has."""
        if way.use == "mcp" and self.mcp is not None:
            return self.mcp.url
        if way.auth_mode != "oauth" and self.key is not None and self.key.url:
            return self.key.url
        return self.api.url if self.api is not None else ""

    def find_asked(self, way: Way) -> dict[str, Parameter]:
        """Return the parameters that an operator is asked for, since nobody else tells them this way."""
        named = find_names(*self._get_templates(way))
        is_oauth = way.auth_mode == "oauth"
        return {
            name: parameter
            for name, parameter in self.parameters.items()
            if name in named and (parameter.source == "operator" or not is_oauth)
        }

    def _get_templates(self, way: Way) -> list[str]:
        found = [self.find_url(way)]
        if way.use == "api" and self.api is not None:
            found += self.api.headers.values()
        if way.use == "api" and way.auth_mode == "oauth" and self.oauth is not None:
            oauth = self.oauth
            found += [oauth.authorization_url, oauth.token_url, oauth.refresh_url, oauth.issuer]
            found += [oauth.revocation.url] if oauth.revocation else []
        return found

    def _get_mcp_ways(self) -> list[Way]:
        if self.mcp is None:
            return []
        offered = {self.mcp.registration, *self.mcp.alternatives}
        modes = ["oauth"] if offered & {"dynamic", "metadata_document", "preregistered", "unknown"} else []
        modes += [mode for mode in ("user_token", "server_token") if "token" in offered and mode in self.auth_modes]
        return [Way(use="mcp", auth_mode=mode) for mode in [*modes, *(["none"] if "none" in offered else [])]]

    def _get_api_ways(self) -> list[Way]:
        modes = [mode for mode in self.auth_modes if self._can_be_used(mode)]
        return [Way(use="api", auth_mode=mode) for mode in modes] if self.api is not None else []

    def _can_be_used(self, mode: str) -> bool:
        if mode == "oauth":
            return self.oauth is not None
        return mode == "none" or self.key is not None
