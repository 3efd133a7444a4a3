from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from orgs.notices import kinds
from orgs.notices.kinds import Kind, register_kinds
from tests.factories import Cast, make_cast
from tests.orgs.notices.places import MailServer, Receiver, receive_mail, receive_webhooks


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds of the tests' own, besides those that there are."""
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    register_kinds(Kind("weather.rain", "It rains"), Kind("weather.snow", "It snows"))


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.ALLOW_PRIVATE_NETWORKS = True
    with receive_webhooks() as receiving:
        yield receiving


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    with receive_mail(settings) as server:
        yield server
