"""Everything an installation needs, started in the order in which the one needs the other, and kept running."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from django.conf import settings

from kontext.demo.people import CASTS
from kontext.demo.processes import demo_children
from kontext.display import Announcement, Display, SignIn
from kontext.embedded.postgres import PostgresServer
from kontext.embedded.server import EmbeddedServer
from kontext.embedded.valkey import ValkeyServer
from kontext.supervisor.child import Child
from kontext.supervisor.children import (
    BASE_DIR,
    MANAGE,
    embedded_child,
    gateway_child,
    sealer_child,
    web_child,
    worker_child,
)
from kontext.supervisor.installation import Installation
from kontext.supervisor.supervisor import StopRequestedError, Supervisor


def serve(installation: Installation, *, given: Mapping[str, str], display: Display, story: Sequence[str]) -> None:
    """Run until asked to stop. `given` is the environment we were called with; `story` the demo's command line."""
    servers = [embedded_child(server) for server in _embedded_servers(installation, given)]
    processes = _processes(installation)
    display.expect(len(servers) + 1 + len(processes))
    with (
        display,
        Supervisor(logs=installation.logs, environment=installation.environment, tell=display.tell) as supervisor,
    ):
        try:
            _start(supervisor, installation, servers, processes, display)
            if installation.is_demo:
                _play(supervisor, story, display)
            supervisor.serve_forever()
        except StopRequestedError:
            return


def _start(
    supervisor: Supervisor,
    installation: Installation,
    servers: Sequence[Child],
    processes: Sequence[Child],
    display: Display,
) -> None:
    supervisor.start(*servers)
    prepared = supervisor.run("prepare", "Database, keys and files", [*MANAGE, "prepare", "--json"], cwd=BASE_DIR)
    # None of them needs another one to start: most of the time goes into importing.
    supervisor.start(*processes)
    display.announce(_describe(installation, setup_path=json.loads(prepared)["setup_path"]))


def _play(supervisor: Supervisor, story: Sequence[str], display: Display) -> None:
    if supervisor.run_in_front([*MANAGE, *story], cwd=BASE_DIR) != 0:
        display.say("The story did not come to its end. Everything goes on running; `manage.py demo` plays it again.")


def _embedded_servers(installation: Installation, given: Mapping[str, str]) -> list[EmbeddedServer]:
    """Return those that no URL in the environment replaces."""
    choices = (("DATABASE_URL", PostgresServer), ("REDIS_URL", ValkeyServer))
    return [server(installation.data_dir) for name, server in choices if not given.get(name)]


def _processes(installation: Installation) -> list[Child]:
    peers = demo_children(installation) if installation.is_demo else []
    ours = [
        web_child(installation, static_root=settings.STATIC_ROOT),
        gateway_child(installation),
        worker_child(installation),
        sealer_child(installation),
    ]
    return [*peers, *ours]


def _describe(installation: Installation, *, setup_path: str | None) -> Announcement:
    is_empty = setup_path is not None and not installation.is_demo
    return Announcement(
        public_url=installation.public_url,
        gateway_url=installation.gateway_url,
        data_dir=str(installation.data_dir),
        setup_url=f"{installation.public_url}{setup_path}" if is_empty else None,
        sign_ins=_sign_ins() if installation.is_demo else (),
    )


def _sign_ins() -> list[SignIn]:
    return [
        SignIn(cast.name, person.name, person.email, "administrator" if index == 0 else ", ".join(person.groups))
        for cast in CASTS
        for index, person in enumerate(cast.people)
    ]


def describe_running(installation: Installation) -> dict[str, object]:
    """Return what the lock says about us to whoever finds it taken."""
    facts = asdict(_describe(installation, setup_path=None))
    return {name: facts[name] for name in ("public_url", "gateway_url")}
