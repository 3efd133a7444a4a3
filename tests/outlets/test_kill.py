"""A sender that is killed at any moment: every event arrives, and each tree's in its order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from audit.models import Outlet, OutletPosition
from audit.services.seal import seal_events
from tests.audit.trees import ACME, GLOBEX, record, sign
from tests.e2e.live import database_url
from tests.e2e.processes import ROOT
from tests.outlets.collectors import sealed

pytestmark = pytest.mark.django_db(transaction=True)
SENDER = """
import django
django.setup()
from orgs.services import stream_events
from orgs.tasks import stream_to
stream_events.MOST_EVENTS = 20
print("ready", flush=True)
while True:
    stream_to("file")
"""


def test_stream_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    target = tmp_path / "events.jsonl"
    for _ in range(10):
        for organization in (ACME, GLOBEX):
            record(100, organization_id=organization)
        seal_events(sign=sign)
    dice = random.Random(4)
    for _ in range(4):
        _send_and_kill(target, dice.uniform(0.05, 0.3))
        Outlet.objects.update(busy_until=timezone.now())  # a minute later
    _send_and_kill(target, None)
    sent = [json.loads(line)["metadata"] for line in _read_whole_lines(target)]
    for organization in (ACME, GLOBEX):
        mine = [metadata for metadata in sent if metadata["tenant_uid"] == str(organization)]
        assert list(dict.fromkeys(metadata["uid"] for metadata in mine)) == sealed(organization)
        # Only ever back to where the last batch began, and then on from there.
        assert all(later["sequence"] <= earlier["sequence"] + 1 for earlier, later in pairwise(mine))
    assert set(OutletPosition.objects.values_list("size", flat=True)) == {1000}


def _send_and_kill(target: Path, seconds: float | None) -> None:
    """Kill it after so long; with None, once everything has arrived."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "kontext.settings",
        "DATABASE_URL": database_url(str(connection.settings_dict["NAME"])),
        "KONTEXT_SECRET_KEY": settings.SECRET_KEY,
        "KONTEXT_EVENT_STREAM_FILE": str(target),
        "KONTEXT_DATA_DIR": str(target.parent),
    }
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert sender.stdout is not None
    assert sender.stdout.readline() == "ready\n"
    try:
        if seconds is not None:
            time.sleep(seconds)
            return
        deadline = time.monotonic() + 60
        while OutletPosition.objects.filter(size=1000).count() < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.kill(sender.pid, signal.SIGKILL)
        sender.wait()
        sender.stdout.close()


def _read_whole_lines(target: Path) -> list[str]:
    """Leave out what a kill has cut off; it comes again, on a line of its own."""
    whole = []
    for line in target.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            continue
        whole.append(line)
    return whole
