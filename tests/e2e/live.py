"""A whole installation: `manage.py up` on free ports, on a database of its own, with third-party peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from django.conf import settings
from django.db import connections

from kontext.demo.people import CASTS
from kontext.demo.processes import identity_provider_command
from tests.e2e.peers import GitHub
from tests.e2e.processes import ROOT, Process, free_port, python_module

DATABASE = f"kontext_e2e_{os.getpid()}"


@dataclass(frozen=True)
class Installation:
    """A running installation and what the demo's seed said about it."""

    data_dir: Path
    public_url: str
    gateway_url: str
    environment: dict[str, str]
    github: GitHub
    identity_providers: dict[str, str]
    world: dict[str, Any]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command of this installation."""
        return _manage(self.environment, *arguments)


@contextmanager
def running_installation(folder: Path) -> Iterator[Installation]:
    """Start everything, yield it, and stop it."""
    processes: list[Process] = []
    try:
        github = start_github(folder, processes)
        providers = start_identity_providers(folder, processes)
        with _database():
            environment = _environment(folder)
            _write_ports(folder / "data", github, providers)
            urls = _start_kontext(folder, environment, processes)
            world = json.loads(_check(_manage(environment, "demo", "--seed-only", "--json")).stdout)
            yield Installation(folder / "data", *urls, environment, github, providers, world)
            processes.pop().stop()
    finally:
        for process in reversed(processes):
            process.stop()


def start_github(folder: Path, processes: list[Process]) -> GitHub:
    port = free_port()
    command = python_module("kontext.demo.github", "--port", str(port), "--inspect")
    processes.append(Process("github", command, folder / "github.log"))
    github = GitHub(f"http://127.0.0.1:{port}")
    processes[-1].wait_until_answers(f"{github.base_url}/.well-known/oauth-authorization-server")
    return github


def start_identity_providers(folder: Path, processes: list[Process]) -> dict[str, str]:
    urls = {}
    for cast in CASTS:
        port = free_port()
        processes.append(Process(cast.slug, identity_provider_command(cast, port), folder / f"idp-{cast.slug}.log"))
        urls[cast.slug] = f"http://127.0.0.1:{port}"
    for slug, process in zip(urls, processes[-len(urls) :], strict=True):
        process.wait_until_answers(f"{urls[slug]}/.well-known/openid-configuration")
    return urls


@contextmanager
def default_database() -> Iterator[None]:
    """Let the ORM of this process look into the installation's database."""
    connection = connections["default"]
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = DATABASE
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


@contextmanager
def _database() -> Iterator[None]:
    with psycopg.connect(database_url("postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{DATABASE}"')
        try:
            yield
        finally:
            server.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


def database_url(name: str) -> str:
    """The URL of a database on the server that the tests use, a Unix socket or not."""
    server = settings.DATABASES["default"]
    host, port = str(server["HOST"]), str(server["PORT"])
    user = ":".join(quote(part, safe="") for part in (server["USER"], server["PASSWORD"]) if part)
    if host.startswith("/"):
        query = urlencode({"port": port} if port else {})
        return f"postgresql://{user}@{quote(host, safe='')}/{name}" + (f"?{query}" if query else "")
    return f"postgresql://{user}@{host}{f':{port}' if port else ''}/{name}"


def _environment(folder: Path) -> dict[str, str]:
    data = folder / "data"
    data.mkdir()
    return {
        "KONTEXT_DATA_DIR": str(data),
        "DATABASE_URL": database_url(DATABASE),
        "KONTEXT_ROOT_KEY_FILE": str(settings.ROOT_KEY_FILE),
        "KONTEXT_SECRET_KEY": settings.SECRET_KEY,
        "KONTEXT_ALLOW_PRIVATE_NETWORKS": "true",
    }


def _write_ports(data: Path, github: GitHub, providers: dict[str, str]) -> None:
    ports = {"demo-github": github.base_url} | {f"demo-idp-{slug}": url for slug, url in providers.items()}
    text = json.dumps({name: int(url.rsplit(":", 1)[1]) for name, url in ports.items()})
    (data / "ports.json").write_text(text)


def _start_kontext(folder: Path, environment: dict[str, str], processes: list[Process]) -> tuple[str, str]:
    web, gateway = free_port(), free_port()
    command = [sys.executable, "manage.py", "up", "--json", "--port", str(web), "--gateway-port", str(gateway)]
    process = Process("up", command, folder / "up.log", environment)
    processes.append(process)
    return _wait_for_up(process)


def _wait_for_up(process: Process) -> tuple[str, str]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.popen.poll() is None:
        for line in process.log.read_text(errors="replace").splitlines():
            if line.startswith("{") and (event := json.loads(line)).get("event") == "up":
                return event["public_url"], event["gateway_url"]
        time.sleep(0.2)
    raise RuntimeError(f"manage.py up did not come up:\n{process.log.read_text(errors='replace')[-4000:]}")


def _manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def _check(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, f"{done.args}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done
