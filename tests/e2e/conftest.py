"""Processes and people of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.e2e.live import Installation, default_database, running_installation, start_github
from tests.e2e.peers import GitHub
from tests.e2e.processes import Process


@pytest.fixture(scope="session")
def installation(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Installation]:
    """One installation for all end-to-end tests: starting it takes longer than any of them."""
    with running_installation(tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture
def live(installation: Installation, django_db_blocker: DjangoDbBlocker) -> Iterator[Installation]:
    """The installation, with the ORM of the test looking into its database."""
    installation.github.set_token_lifetime(3600)
    installation.github.forget_requests()
    with django_db_blocker.unblock(), default_database():
        yield installation


@pytest.fixture(scope="session")
def github_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    processes: list[Process] = []
    try:
        yield start_github(tmp_path_factory.mktemp("github"), processes)
    finally:
        for process in processes:
            process.stop()


@pytest.fixture
def github(github_process: GitHub) -> GitHub:
    """A demo GitHub of its own, with an empty record."""
    github_process.set_token_lifetime(3600)
    github_process.forget_requests()
    return github_process
