"""How the integration calls the account that was connected, for people to recognize: nothing is decided by it alone."""

from __future__ import annotations

from connections import egress
from connections.errors import DiscoveryError, EgressError
from connections.oauth.metadata import check_endpoint

_LIMITS = egress.Limits(seconds=5, body_bytes=64 * 1024)
_NAMES = ("email", "preferred_username", "login", "username", "name", "sub", "id")


def find_account(userinfo_endpoint: object, access_token: str) -> str:
    """Ask the server's own userinfo endpoint (OpenID Connect §5.3). An empty string when it doesn't say."""
    if not isinstance(userinfo_endpoint, str) or not userinfo_endpoint:
        return ""
    headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
    try:
        response = egress.request("GET", check_endpoint(userinfo_endpoint), headers=headers, limits=_LIMITS)
        claims = response.json() if response.is_success else {}
    except (DiscoveryError, EgressError):
        return ""
    return next((str(claims[name])[:255] for name in _NAMES if isinstance(claims.get(name), str | int)), "")
