"""What the data plane takes from the settings: read once, when a process starts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from gateway.errors import HostRefusedError, OriginRefusedError


@dataclass(frozen=True, slots=True)
class Config:
    """`hosts` and `origins` are lower-case; a host is a name without a port, an origin is scheme://host[:port]."""

    url: str
    issuer: str
    hosts: frozenset[str]
    origins: frozenset[str]
    trust_proxy: bool

    def check_host(self, host: str | None) -> None:
        """Refuse names that aren't ours: in a browser, DNS rebinding makes another site's page talk to us."""
        if _strip_port((host or "").lower()) not in self.hosts:
            raise HostRefusedError("this host name is not one that the gateway answers to")

    def check_origin(self, origin: str | None, host: str) -> None:
        """Refuse pages of other sites. `host` has been checked, so a page served under it is our own."""
        if origin is None or origin.lower() in self.origins:
            return
        parts = urlsplit(origin.lower())
        if parts.scheme not in ("http", "https") or parts.netloc != host.lower():
            raise OriginRefusedError("pages of this origin may not call the gateway")

    def get_resource(self, slug: str | None) -> str:
        """Return the audience of tokens for an integration's endpoint, or for the joined one."""
        return f"{self.url}/mcp/{slug}" if slug else f"{self.url}/mcp"


def read_config() -> Config:
    return Config(
        url=settings.GATEWAY_URL,
        issuer=settings.PUBLIC_URL,
        hosts=frozenset(host.lower() for host in settings.GATEWAY_HOSTS),
        origins=frozenset(origin.lower() for origin in settings.GATEWAY_ORIGINS),
        trust_proxy=settings.TRUST_PROXY,
    )


def _strip_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() and not host.endswith("]") else host
