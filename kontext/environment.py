"""The environment that `manage.py up` leaves in a data folder, and what follows from it. Imported by settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

ENVIRONMENT_FILE = "installation.env"
_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def read_environment_file(data_dir: Path) -> dict[str, str]:
    """Return what `up` has written there, or nothing where it never ran (or where we may not read it)."""
    try:
        lines = (data_dir / ENVIRONMENT_FILE).read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def hosts_of(public_url: str) -> list[str]:
    """Return the hosts to answer to: that of the public URL and, for probes from this machine, its loopback."""
    host = urlsplit(public_url).hostname or ""
    return [*dict.fromkeys([f"[{host}]" if ":" in host else host, *LOOPBACK_HOSTS])]


def read_email_url(url: str) -> dict[str, Any]:
    """Return Django's e-mail settings for `smtp://`, `smtp+tls://` (STARTTLS) or `smtp+ssl://user:password@host:port`.

    Raises ImproperlyConfigured, without the password in it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in _MAIL_PORTS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            "EMAIL_URL must read smtp://host, smtp+tls://user:password@host:587 or smtp+ssl://user:password@host:465, "
            "user name and password percent-encoded"
        )
    return {
        "EMAIL_BACKEND": "orgs.notices.mail.MailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port or _MAIL_PORTS[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
    }
