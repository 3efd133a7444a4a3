from __future__ import annotations

import logging

import pytest

from kontext.access_log import CONFIGURATION, HideTokens


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/setup/ImZpcnN0:1xVvR8:21abc/", "/setup/…/"),
        ("/connect/EYRBy-CjMJDq/", "/connect/…/"),
        ("/connect/EYRBy-CjMJDq", "/connect/…"),
        ("/connections/", "/connections/"),
        ("/admin/setup/x/", "/admin/setup/x/"),
    ],
)
def test_access_log_shows_the_path_without_its_token(path: str, shown: str) -> None:
    record = logging.LogRecord("granian.access", logging.INFO, "", 0, "%(path)s", ({"path": path},), None)
    assert HideTokens().filter(record)
    assert record.getMessage() == shown


def test_access_log_configuration_is_part_of_the_project() -> None:
    assert '"kontext.access_log.HideTokens"' in CONFIGURATION.read_text()
