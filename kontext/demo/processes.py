"""The peers of the demo as children of the supervisor, and where to find them afterwards."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from kontext.demo.people import ACME, CASTS, GLOBEX, Cast
from kontext.supervisor.child import Child
from kontext.supervisor.installation import Installation
from kontext.supervisor.probes import answers_http

GITHUB_PORT = 8010
IDENTITY_PROVIDER_PORTS = {ACME.slug: 8011, GLOBEX.slug: 8012}


class DemoNotRunningError(Exception):
    """The demo's peers were never started on this data folder."""


@dataclass(frozen=True)
class Peers:
    """Base URLs of the demo GitHub and of each organization's identity provider, by the organization's slug."""

    github: str
    identity_providers: dict[str, str]


def demo_children(installation: Installation) -> list[Child]:
    """Return the demo GitHub and one identity provider per organization, for `manage.py up --demo`."""
    return [_github(installation), *(_identity_provider(installation, cast) for cast in CASTS)]


def find_peers(data_dir: Path) -> Peers:
    """Return where the peers of this data folder listen. Raises DemoNotRunningError if `up --demo` never ran here."""
    try:
        ports = json.loads((data_dir / "ports.json").read_text())
        return Peers(
            github=_url(ports["demo-github"]),
            identity_providers={cast.slug: _url(ports[f"demo-idp-{cast.slug}"]) for cast in CASTS},
        )
    except (OSError, KeyError, ValueError) as error:
        raise DemoNotRunningError(
            "the demo's services are not running: start them with `manage.py up --demo`"
        ) from error


def identity_provider_command(cast: Cast, port: int) -> tuple[str, ...]:
    """Return the command line of the organization's identity provider, a third-party package."""
    claims = [part for person in cast.people for part in ("--user-claims", person.claims)]
    return (sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *claims)


def _github(installation: Installation) -> Child:
    port = installation.ports.choose("demo-github", default=GITHUB_PORT)
    state = installation.data_dir / "demo-github.json"
    return Child(
        name="demo-github",
        title="GitHub (demo)",
        argv=(sys.executable, "-m", "kontext.demo.github", "--port", str(port), "--state", str(state), "--inspect"),
        url=_url(port),
        is_ready=answers_http(f"{_url(port)}/.well-known/oauth-authorization-server"),
    )


def _identity_provider(installation: Installation, cast: Cast) -> Child:
    name = f"demo-idp-{cast.slug}"
    port = installation.ports.choose(name, default=IDENTITY_PROVIDER_PORTS[cast.slug])
    return Child(
        name=name,
        title=f"Sign-in of {cast.name} (demo)",
        argv=identity_provider_command(cast, port),
        url=_url(port),
        is_ready=answers_http(f"{_url(port)}/.well-known/openid-configuration"),
    )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
