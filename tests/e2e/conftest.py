"""Processes and people of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.peers import GitHub
from tests.e2e.processes import Process, free_port, python_module


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def github_process(logs: Path) -> Iterator[GitHub]:
    port = free_port()
    process = Process(
        "github",
        python_module("kontext.demo.github", "--port", str(port), "--inspect"),
        logs / "github.log",
    )
    github = GitHub(f"http://127.0.0.1:{port}")
    try:
        process.wait_until_answers(f"{github.base_url}/.well-known/oauth-authorization-server")
        yield github
    finally:
        process.stop()


@pytest.fixture
def github(github_process: GitHub) -> GitHub:
    """The demo GitHub with an empty record."""
    github_process.set_token_lifetime(3600)
    github_process.forget_requests()
    return github_process
