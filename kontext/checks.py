"""System checks of the installation as a whole: `manage.py check --deploy` and `manage.py doctor` show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

GENERATE_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"


def deploy_check(check: Callable[[], Iterable[CheckMessage]]) -> Callable[[], Iterable[CheckMessage]]:
    """Register a check that runs with `--deploy`."""

    def run(app_configs: Any, **_options: Any) -> list[CheckMessage]:
        return list(check())

    register(run, Tags.security, deploy=True)
    return check


@deploy_check
def check_secret_key() -> Iterable[CheckMessage]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if not key or key == settings.INSECURE_SECRET_KEY:
        yield Error(
            "the secret key is the default one, so anybody could forge a session",
            hint=f"Set KONTEXT_SECRET_KEY to the output of: {GENERATE_KEY}",
            id="kontext.E001",
        )


@deploy_check
def check_addresses() -> Iterable[CheckMessage]:
    for name, url in (("KONTEXT_PUBLIC_URL", settings.PUBLIC_URL), ("KONTEXT_GATEWAY_URL", settings.GATEWAY_URL)):
        if not url.startswith("https://"):
            yield Warning(
                f"{name} is {url}: tokens and sessions would cross the network unencrypted",
                hint=f"Put a TLS proxy in front and set {name} to its https address.",
                id="kontext.W001",
            )


@deploy_check
def check_debug() -> Iterable[CheckMessage]:
    if settings.DEBUG:
        yield Error(
            "debug mode shows settings and source code to whoever causes an error",
            hint="Unset KONTEXT_DEBUG.",
            id="kontext.E002",
        )


@deploy_check
def check_private_networks() -> Iterable[CheckMessage]:
    if settings.ALLOW_PRIVATE_NETWORKS:
        yield Warning(
            "integrations may point at private and loopback addresses, so whoever adds one can reach this network",
            hint="Unset KONTEXT_ALLOW_PRIVATE_NETWORKS unless your integrations are inside this network.",
            id="kontext.W002",
        )


@deploy_check
def check_root_key() -> Iterable[CheckMessage]:
    if not settings.ROOT_KEY and settings.DATA_DIR in Path(settings.ROOT_KEY_FILE).resolve().parents:
        yield Warning(
            "the root key lies in the data folder, beside what it protects",
            hint="Set KONTEXT_ROOT_KEY_FILE to a file elsewhere (a mounted secret), readable by this user alone.",
            id="kontext.W003",
        )


@deploy_check
def check_outlets() -> Iterable[CheckMessage]:
    from orgs.outlets.checkpoints import get_checkpoint_outlets  # these need models
    from orgs.outlets.configured import get_outlets
    from orgs.witness.logs import read_trusted_logs

    try:
        get_outlets()
        get_checkpoint_outlets()
        read_trusted_logs()
    except ImproperlyConfigured as wrong:
        hint = "Correct that KONTEXT_ setting, or unset it: docs/audit.md#stream has the forms."
        yield Error(str(wrong), hint=hint, id="kontext.E003")
