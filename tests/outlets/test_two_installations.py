"""Two installations with a database each, and real HTTP between them: a log, and a witness that is killed."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as configured
from pytest_django import Settings

from audit.models import Cosignature, Tree
from audit.notes import parse_witness_key, read_cosignatures
from audit.services.seal import seal_events
from audit.witness import Submission
from orgs.outlets.checkpoints import get_checkpoint_outlets
from orgs.services.checkpoint_keys import get_verifier_keys, sign_checkpoint
from orgs.services.give_checkpoints import give_checkpoints
from tests.audit.trees import ACME, record
from tests.audit.witnessed import Log
from tests.e2e.live import database_url
from tests.e2e.processes import ROOT, free_port, python_module

pytestmark = pytest.mark.django_db
DATABASE = f"kontext_witness_{os.getpid()}"


@dataclass
class Witness:
    """Another installation's web process. `logs` is the file in which its operator lists whom it witnesses."""

    environment: dict[str, str]
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/witness"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def read_key(self) -> str:
        done = manage(self.environment, "doctor", "--json")
        texts = [found["text"] for found in json.loads(done.stdout)["findings"] if found["subject"] == "Witness"]
        return str(re.search(r"\S+$", texts[0])[0])  # type: ignore[index]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # it has children
        self.process.wait()

    def start(self) -> None:
        self.process = serve(self.environment, self.folder, self.port)

    def submit(self, submission: Submission) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.url}/add-checkpoint", submission.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Witness]:
    folder, port = tmp_path_factory.mktemp("witness"), free_port()
    environment = {
        "KONTEXT_DATA_DIR": str(folder),
        "DATABASE_URL": database_url(DATABASE),
        "KONTEXT_SECRET_KEY": configured.SECRET_KEY,
        "KONTEXT_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "KONTEXT_WITNESS_LOGS": str(folder / "logs"),
    }
    (folder / "logs").touch()
    with psycopg.connect(database_url("postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{DATABASE}"')
        try:
            done = manage(environment, "migrate", "--verbosity", "0")
            assert done.returncode == 0, done.stderr
            running = Witness(environment, folder, port, serve(environment, folder, port))
            try:
                yield running
            finally:
                running.kill()
        finally:
            server.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


def serve(environment: dict[str, str], folder: Path, port: int) -> subprocess.Popen[bytes]:
    options = ("--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--blocking-threads", "8")
    command = python_module("granian", *options, "kontext.wsgi:application")
    with (folder / "web.log").open("ab") as log:
        everything = {**os.environ, **environment}
        process = subprocess.Popen(
            command, cwd=ROOT, env=everything, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
            return process
        except OSError:
            time.sleep(0.1)
    raise RuntimeError((folder / "web.log").read_text()[-4000:])


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    everything = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, text=True, timeout=180, check=False)


def grow(count: int) -> Tree:
    record(count)
    seal_events(sign=sign_checkpoint)
    return Tree.objects.get(organization_id=ACME)


def give() -> int:
    [outlet] = get_checkpoint_outlets().values()
    return give_checkpoints(outlet, seconds=20)


def test_log_is_cosigned_by_another_installation_before_and_after_it_is_killed(
    witness: Witness, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_NETWORKS, key = True, witness.read_key()
    settings.WITNESSES = f"{witness.url} {key}"
    tree = grow(5)
    witness.logs.write_text("".join(f"{known}\n" for known in get_verifier_keys(tree.origin)))
    assert give() == 1
    grow(4)
    assert give() == 1
    witness.kill()
    witness.start()
    grow(3)
    assert give() == 1
    cosignatures = Cosignature.objects.order_by("id").select_related("checkpoint")
    assert [row.checkpoint.size for row in cosignatures] == [5, 9, 12]
    for row in cosignatures:
        assert read_cosignatures(row.checkpoint.note + row.line, [parse_witness_key(key)])


def test_witness_remembers_what_it_signed_and_signs_one_of_many(witness: Witness) -> None:
    log = Log("race.test/log")
    witness.logs.write_text(f"{log.verifier}\n")
    assert witness.submit(log.submit(0, 3))[0] == 200
    witness.kill()
    witness.start()
    assert witness.submit(log.submit(0, 3)) == (409, b"3\n")  # a replay
    assert witness.submit(log.fork().submit(3, 4))[0] == 422
    submissions = [story.submit(3, size) for size in (4, 5, 6, 7) for story in (log, log)]
    with ThreadPoolExecutor(8) as threads:
        statuses = [status for status, _ in threads.map(witness.submit, submissions)]
    assert sorted(statuses) == [200, *[409] * 7]
    signed = submissions[statuses.index(200)]
    status, size = witness.submit(log.submit(0, 9))
    assert (status, int(size)) == (409, int(signed.note.splitlines()[1]))
    assert base64.b64decode(signed.note.splitlines()[2])
