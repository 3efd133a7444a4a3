"""Keys, administrators, and what `check --deploy` finds."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from kontext.doctor.findings import Finding, error, ok, warning
from orgs.models import Membership, SigningKey
from orgs.services.create_first_administrator import has_administrator
from orgs.services.rotate_signing_keys import get_key_binding
from orgs.vault import VaultError, decrypt
from orgs.vault.root import get_root_key


def examine_root_key() -> Iterable[Finding]:
    path = Path(settings.ROOT_KEY_FILE)
    if not settings.ROOT_KEY and not path.exists():
        yield error("Root key", f"{path} does not exist", "manage.py prepare (or restore the file from your backup)")
        return
    try:
        name = get_root_key().id
        _open_signing_keys()
    except VaultError as problem:
        yield error("Root key", str(problem), "restore the root key that this database was made with")
        return
    except DatabaseError:
        return  # said elsewhere
    yield ok("Root key", f"{name} opens what the database holds")
    if not settings.ROOT_KEY and path.stat().st_mode & 0o077:
        yield error("Root key", f"others on this machine can read {path}", f"chmod 600 {path}")


def _open_signing_keys() -> None:
    """Raise VaultError where the database was filled under another root key."""
    for key in SigningKey.objects.all():
        decrypt(None, key.private_key, associated_data=get_key_binding(key.kid))


def examine_administrators() -> Iterable[Finding]:
    try:
        is_set_up = has_administrator() or Membership.objects.administrators().exists()
    except DatabaseError:
        return
    if is_set_up:
        yield ok("Administrator", "there is one")
    else:
        yield warning("Administrator", "there is none yet", "manage.py prepare (prints a link that makes you one)")


def examine_static_files() -> Iterable[Finding]:
    if not Path(settings.STATIC_ROOT, "kontext", "portal.css").exists():
        yield error("Static files", f"are not in {settings.STATIC_ROOT}: pages have no style", "manage.py prepare")


def examine_deployment() -> Iterable[Finding]:
    """Django's deployment checks and ours. On a loopback address only what would be wrong there, too."""
    messages = checks.run_checks(include_deployment_checks=True)
    for message in messages:
        fix = message.hint or "manage.py check --deploy (docs/configuration.md has the settings)"
        if message.is_serious():
            yield error("Configuration", f"{message.msg} ({message.id})", fix)
        elif not is_local() and message.level >= checks.WARNING:
            yield warning("Configuration", f"{message.msg} ({message.id})", fix)
    if is_local():
        yield ok("Configuration", "serves this machine alone; before others use it: manage.py check --deploy")
    elif not messages:
        yield ok("Configuration", "as production should be")


def is_local() -> bool:
    """Tell whether the installation serves this machine alone."""
    return all(_is_loopback(url) for url in (settings.PUBLIC_URL, settings.GATEWAY_URL))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
