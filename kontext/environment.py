"""The environment that `manage.py up` leaves in a data folder, and what follows from it. Imported by settings."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENT_FILE = "installation.env"
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
