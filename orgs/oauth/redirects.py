"""Redirect URIs: which may be registered, and when one that is asked for is the registered one. Pure."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
_MOST_CHARACTERS = 500
_FORBIDDEN = frozenset('\\"<>^`{|}#')


def find_redirect_uri_problem(uri: str) -> str:
    """Say why this URI can't be registered, or return an empty string: https, or http to this machine itself."""
    parts = _split(uri)
    if parts is None:
        return "must be an absolute URL without spaces, special characters or a fragment"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS):
        return ""
    return "must use https, or http on 127.0.0.1, [::1] or localhost"


def is_redirect_uri_registered(uri: str, registered: list[str]) -> bool:
    """Compare character by character (RFC 9700 §2.1); only the port of a loopback URI may differ (RFC 8252 §7.3)."""
    if uri in registered:
        return True
    wanted = _without_loopback_port(uri)
    return wanted is not None and any(wanted == _without_loopback_port(candidate) for candidate in registered)


def get_redirect_host(uri: str) -> str:
    """Return what a person should see and consent to: host and port, without the port on this machine itself."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    return host if host in LOOPBACK_HOSTS else parts.netloc


def _split(uri: str) -> SplitResult | None:
    if len(uri) > _MOST_CHARACTERS or not uri.isascii():
        return None
    if any(character <= " " or character == "\x7f" or character in _FORBIDDEN for character in uri):
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and parts.hostname else None


def _without_loopback_port(uri: str) -> str | None:
    parts = _split(uri)
    if parts is None or parts.scheme != "http" or parts.hostname not in LOOPBACK_HOSTS or "@" in parts.netloc:
        return None
    prefix = f"http://{parts.netloc}"
    if not uri.startswith(prefix):
        return None
    host = parts.netloc.rsplit(":", 1)[0] if parts.port is not None else parts.netloc
    return f"http://{host}{uri[len(prefix) :]}"
