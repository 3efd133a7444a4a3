"""`manage.py up` as an operator meets it: real processes, real signals, a data folder of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ROOT, Process, free_port

CHILDREN = ("postgresql", "valkey", "web", "gateway", "worker", "sealer")
UP = (sys.executable, "manage.py", "up")
# One `up` for all tests of this file, in one process of pytest-xdist.
pytestmark = pytest.mark.xdist_group("up")

Event = dict[str, Any]


@dataclass
class Up:
    process: Process
    environment: dict[str, str]
    data_dir: Path
    web: str
    gateway: str

    def events(self) -> list[Event]:
        return [json.loads(line) for line in self.process.log.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, is_it: Callable[[Event], bool], *, after: int = 0, timeout: float = 90) -> Event:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            has_ended = self.process.popen.poll() is not None  # before reading: what it said last counts
            for event in self.events()[after:]:
                if is_it(event):
                    return event
            if has_ended:
                break
            time.sleep(0.1)
        raise AssertionError(f"waited in vain:\n{self.process.log.read_text()[-4000:]}")

    def pid_of(self, name: str) -> int:
        """The process that is ready now."""
        return int(
            [event for event in self.events() if (event["event"], event.get("name")) == ("ready", name)][-1]["pid"]
        )


def run_up(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an `up` that is to end by itself."""
    return subprocess.run(
        [*UP, *arguments],
        cwd=ROOT,
        env={**os.environ, "KONTEXT_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """An installation that nobody has configured: no database, no keys, no administrator."""
    folder = Path(tempfile.mkdtemp(prefix="kontext-up-"))
    folder.chmod(0o711)  # for the user that PostgreSQL runs as where root runs the tests
    data, web, gateway = folder / "data", free_port(), free_port()
    environment = {"KONTEXT_DATA_DIR": str(data), "KONTEXT_SECRET_KEY": "", "DATABASE_URL": "", "REDIS_URL": ""}
    ports = ["--port", str(web), "--gateway-port", str(gateway)]
    process = Process("up", [*UP, "--json", *ports], folder / "up.log", environment)
    running = Up(process, environment, data, f"http://127.0.0.1:{web}", f"http://127.0.0.1:{gateway}")
    try:
        running.wait_for(lambda event: event["event"] == "up", timeout=180)
        yield running
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def answer(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def is_alive(pid: int) -> bool:
    """Whether this process exists and is more than an exit code that nobody has read."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_up_without_any_setting_serves_and_hands_out_one_link(up: Up) -> None:
    said = up.wait_for(lambda event: event["event"] == "up")
    assert (said["public_url"], said["gateway_url"]) == (up.web, up.gateway)
    assert answer(f"{up.web}/healthz") == 200
    assert answer(f"{up.gateway}/healthz") == 200
    assert answer(said["setup_url"]) == 200
    assert answer(said["setup_url"][:-2] + "x/") == 404


def test_up_keeps_its_secrets_to_itself(up: Up) -> None:
    for name in ("secret.key", "root.key", "installation.env", "up.lock"):
        assert (up.data_dir / name).stat().st_mode & 0o077 == 0, name
    token = up.wait_for(lambda event: event["event"] == "up")["setup_url"].rstrip("/").rsplit("/", 1)[1]
    secrets = [(up.data_dir / name).read_text().strip() for name in ("secret.key", "root.key")]
    logs = "".join(log.read_text(errors="replace") for log in (up.data_dir / "logs").glob("*.log"))
    assert not [secret for secret in (*secrets, token) if secret in logs]


def test_second_up_on_the_same_folder_says_that_one_is_running(up: Up) -> None:
    done = run_up(up.data_dir, "--port", str(free_port()))
    assert done.returncode == 3
    assert f"already running on {up.data_dir} at {up.web} (process {up.process.popen.pid})" in done.stderr
    assert up.process.popen.poll() is None


@pytest.mark.parametrize("name", CHILDREN)
def test_killed_child_is_noticed_and_restarted(up: Up, name: str) -> None:
    before, seen = up.pid_of(name), len(up.events())

    os.kill(before, signal.SIGKILL)

    died = up.wait_for(lambda event: (event["event"], event.get("name")) == ("died", name), after=seen, timeout=5)
    assert died["detail"].startswith("killed by SIGKILL")
    ready = up.wait_for(lambda event: (event["event"], event.get("name")) == ("ready", name), after=seen)
    assert ready["pid"] != before
    assert is_alive(ready["pid"])
    deadline = time.monotonic() + 20
    while answer(f"{up.web}/healthz") != 200 and time.monotonic() < deadline:
        time.sleep(0.2)  # web opens new connections after the database was away
    assert answer(f"{up.web}/healthz") == 200
    assert answer(f"{up.gateway}/healthz") == 200


def test_interrupt_stops_every_child(up: Up) -> None:
    pids = {name: up.pid_of(name) for name in CHILDREN}
    seen = len(up.events())

    up.process.popen.send_signal(signal.SIGINT)

    assert up.process.popen.wait(40) == 0
    assert not [name for name, pid in pids.items() if is_alive(pid)]
    stopped = [event["name"] for event in up.events()[seen:] if event["event"] == "stopped"]
    assert set(stopped) == set(CHILDREN)
    assert set(stopped[-2:]) == {"postgresql", "valkey"}  # the others need them until they are gone
    with pytest.raises(urllib.error.URLError):
        answer(f"{up.web}/healthz")


def test_killed_supervisor_takes_its_children_along_and_loses_nothing(up: Up) -> None:
    """On the folder of one that was interrupted, by the test above or here where this one runs alone."""
    if up.process.popen.poll() is None:
        up.process.popen.send_signal(signal.SIGINT)
        up.process.popen.wait(40)
    log = up.process.log.with_name("up-again.log")
    again = dataclasses.replace(up, process=Process("up", [*UP, "--json"], log, up.environment))
    try:
        said = again.wait_for(lambda event: event["event"] == "up", timeout=180)
        assert (said["public_url"], said["gateway_url"]) == (up.web, up.gateway)
        assert answer(said["setup_url"]) == 200
        pids = [again.pid_of(name) for name in CHILDREN]
    finally:
        again.process.popen.kill()
        again.process.stop()

    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, pids))


def test_up_on_a_taken_port_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_up(tmp_path / "data", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 4
    assert "is in use by another program" in done.stderr


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "70000"], ["--gateway-port", "x"], ["--nothing"]])
def test_up_with_unusable_arguments_starts_nothing(tmp_path: Path, arguments: list[str]) -> None:
    nowhere = tmp_path / "data"
    done = run_up(nowhere, *arguments)
    assert done.returncode == 2
    assert not nowhere.exists()
