"""The documented production settings, and what they must not be weakened to."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from tests.production_settings import ROOT, run_check


def test_check_with_documented_settings_is_clean() -> None:
    done = run_check()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_check_with_default_secret_is_refused() -> None:
    done = run_check(change="unset KONTEXT_SECRET_KEY")
    assert done.returncode != 0
    assert "kontext.E001" in done.stderr


@pytest.mark.parametrize(
    ("change", "identifier"),
    [
        ({"SECRET_KEY": settings.INSECURE_SECRET_KEY}, "kontext.E001"),
        ({"DEBUG": True}, "kontext.E002"),
        ({"PUBLIC_URL": "http://kontext.example.com"}, "kontext.W001"),
        ({"GATEWAY_URL": "http://gateway.example.com"}, "kontext.W001"),
        ({"ALLOW_PRIVATE_NETWORKS": True}, "kontext.W002"),
        ({"EVENT_STREAM_SYSLOG": "siem.example.com:514"}, "kontext.E003"),
        ({"ROOT_KEY": "", "ROOT_KEY_FILE": f"{settings.DATA_DIR}/root.key"}, "kontext.W003"),
    ],
)
def test_check_with_a_weakened_setting_names_it_and_how_to_mend_it(change: dict[str, object], identifier: str) -> None:
    with override_settings(**change):
        found = [message for message in run_checks(include_deployment_checks=True) if message.id == identifier]
    assert found
    assert all("KONTEXT_" in str(message.hint) for message in found)


def test_web_process_with_default_secret_does_not_start() -> None:
    done = run_check(change="unset KONTEXT_SECRET_KEY; exec python -c 'import kontext.wsgi'")
    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    name = r"\b(KONTEXT_[A-Z0-9_]+|DATABASE_URL|REDIS_URL)\b"
    read = set(re.findall(rf'env(?:\.\w+)?\(\s*"{name}"', (ROOT / "kontext" / "settings.py").read_text()))
    table = set(re.findall(rf"^\| `{name}`", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE))
    assert read == table
