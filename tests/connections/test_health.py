from __future__ import annotations

import datetime as dt
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from connections.health import examine
from connections.models import Integration, Revocation
from tests.factories import Cast, make_connection, make_integration

WEEK = dt.timedelta(days=7)


@pytest.fixture
def troubled(cast: Cast) -> Cast:
    now = timezone.now()
    linear, slack, desk = (make_integration(cast.acme, slug) for slug in ("linear", "slack", "desk"))
    make_connection(cast.github, cast.alice, account="alice-acme", status="reauthorization_required", error="gone")
    make_connection(linear, cast.alice, expires_at=now + dt.timedelta(days=3))
    make_connection(slack, cast.alice, expires_at=now + dt.timedelta(days=3), is_renewable=True)
    make_connection(linear, cast.bob, expires_at=now + dt.timedelta(days=9))
    make_connection(desk, cast.bob, status="error", error="401 invalid_client")
    make_connection(slack, cast.bob, is_renewable=True, refresh_failures=4, error="503", expires_at=now)
    make_integration(cast.acme, "warehouse", auth_mode="server_token")
    Integration.objects.filter(slug="desk").update(discovery_error="[bold]unreachable[/]")
    Revocation.objects.create(organization=cast.acme, integration="Old", status="failed", error="500")
    make_connection(cast.globex_github, cast.mallory, status="reauthorization_required")
    return cast


def test_examine_says_what_breaks_and_who_mends_it(troubled: Cast) -> None:
    found = [(entry.integration, entry.person, str(entry.mender)) for entry in examine(troubled.acme, ahead=WEEK)]
    assert sorted(found) == sorted(
        [
            ("github", "Alice Adams", "person"),
            ("linear", "Alice Adams", "person"),
            ("desk", "Bob Brown", "administrator"),
            ("desk", "", "administrator"),
            ("slack", "Bob Brown", "service"),
            ("warehouse", "", "administrator"),
            ("Old", "", "administrator"),
        ]
    )
    assert found[-1] == ("linear", "Alice Adams", "person")  # the rest fails already


def test_doctor_prints_findings_for_people_and_machines(troubled: Cast) -> None:
    output = io.StringIO()
    call_command("connections", "doctor", organization="acme", stdout=output, no_color=True)
    text = " ".join(output.getvalue().split())
    assert "6 need attention now, 1 within 7 days." in text or "5 need attention now, 2 within 7 days." in text
    assert "[bold]" in output.getvalue()
    assert "Mallory" not in text

    output = io.StringIO()
    call_command("connections", "doctor", organization="globex", json=True, stdout=output)
    (only,) = json.loads(output.getvalue())
    assert (only["person"], only["mender"]) == ("Mallory Moon", "person")


def test_doctor_of_no_organization_says_so(cast: Cast) -> None:
    with pytest.raises(CommandError, match="no organization"):
        call_command("connections", "doctor", organization="nowhere")
