"""One data folder and what belongs to it: keys, addresses, the environment of every process."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kontext.environment import ENVIRONMENT_FILE
from kontext.supervisor.ports import PortBook


@dataclass(frozen=True)
class Installation:
    """What `up` has decided. `environment` is what its children get on top of its own environment."""

    data_dir: Path
    host: str
    web_port: int
    gateway_port: int
    public_url: str
    gateway_url: str
    ports: PortBook = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    is_demo: bool = False

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"


@dataclass(frozen=True)
class Wishes:
    """What the operator asked for on the command line; None where they left the choice to us."""

    host: str = "127.0.0.1"
    web_port: int | None = None
    gateway_port: int | None = None
    demo: bool = False


def plan_installation(data_dir: Path, wishes: Wishes, given: Mapping[str, str]) -> Installation:
    """Choose ports, addresses and keys. `given` is the process's environment, which always has the last word."""
    ports = PortBook(data_dir / "ports.json", host=wishes.host)
    web_port = _choose(ports, "web", wishes.web_port, default=8000)
    gateway_port = _choose(ports, "gateway", wishes.gateway_port, default=8001)
    shown_host = "127.0.0.1" if wishes.host in {"0.0.0.0", "::", "::1"} else wishes.host  # noqa: S104
    environment = {
        "KONTEXT_DATA_DIR": str(data_dir),
        "KONTEXT_PUBLIC_URL": given.get("KONTEXT_PUBLIC_URL") or f"http://{shown_host}:{web_port}",
        "KONTEXT_GATEWAY_URL": given.get("KONTEXT_GATEWAY_URL") or f"http://{shown_host}:{gateway_port}",
        "KONTEXT_SECRET_KEY": given.get("KONTEXT_SECRET_KEY") or _read_or_create_secret(data_dir / "secret.key"),
    }
    if wishes.demo:
        # Its integration and its identity provider listen on this machine's loopback.
        environment["KONTEXT_ALLOW_PRIVATE_NETWORKS"] = "true"
    return Installation(
        data_dir=data_dir,
        host=wishes.host,
        web_port=web_port,
        gateway_port=gateway_port,
        public_url=environment["KONTEXT_PUBLIC_URL"],
        gateway_url=environment["KONTEXT_GATEWAY_URL"],
        ports=ports,
        environment=environment,
        is_demo=wishes.demo,
    )


def write_environment_file(installation: Installation) -> None:
    """Leave the environment to other commands on this data folder: settings read it, the real environment wins."""
    text = "# Written by `manage.py up` at each start; read by settings.py. Set real environment variables instead.\n"
    text += "".join(f"{name}={value}\n" for name, value in sorted(installation.environment.items()))
    write_private_file(installation.data_dir / ENVIRONMENT_FILE, text)


def write_private_file(path: Path, text: str) -> None:
    """Replace a file at once by one that only we can read."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _choose(ports: PortBook, name: str, wished: int | None, *, default: int) -> int:
    return ports.choose(name, default=default) if wished is None else ports.require(name, wished)


def _read_or_create_secret(path: Path) -> str:
    if not path.exists():
        write_private_file(path, secrets.token_urlsafe(50) + "\n")
    return path.read_text().strip()
