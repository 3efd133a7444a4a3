"""Checkpoints given away: files that only grow, and a webhook that gets the newest again until it takes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from audit.models import Tree
from audit.notes import open_checkpoint, parse_key, read_notes
from audit.services.seal import seal_events
from orgs import outbound
from orgs.outbound import OutboundError, OutboundResponse
from orgs.services.checkpoint_keys import rotate_checkpoint_key, sign_checkpoint
from orgs.services.publish_checkpoints import (
    deliver_checkpoints,
    get_checkpoint_file,
    get_keys_file,
    publish_checkpoints,
)
from tests.audit.trees import record

pytestmark = pytest.mark.django_db
WEBHOOK = "https://auditor.test/checkpoints"


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
    settings.CHECKPOINT_WEBHOOK = ""
    return tmp_path / "checkpoints"


def seal(count: int) -> Tree:
    record(count)
    seal_events(sign=sign_checkpoint)
    return Tree.objects.get(organization_id__isnull=False)


def test_publish_appends_each_newest_checkpoint_once(folder: Path) -> None:
    tree = seal(3)
    assert publish_checkpoints() == 1
    assert publish_checkpoints() == 0
    seal(4)
    publish_checkpoints()
    keys = [parse_key(line) for line in get_keys_file(tree).read_text().splitlines()]
    notes = list(read_notes(get_checkpoint_file(tree).read_text()))
    assert [open_checkpoint(note, keys).size for note in notes] == [3, 7]
    tree.refresh_from_db()
    assert tree.published_size == 7
    assert tree.published_at is not None


def test_publish_adds_a_rotated_key_and_keeps_the_former(folder: Path) -> None:
    tree = seal(1)
    publish_checkpoints()
    [before] = get_keys_file(tree).read_text().splitlines()
    rotate_checkpoint_key()
    seal(1)
    publish_checkpoints()
    assert len(get_keys_file(tree).read_text().splitlines()) == 2
    newest = list(read_notes(get_checkpoint_file(tree).read_text()))[-1]
    assert open_checkpoint(newest, [parse_key(before)]).size == 2


def test_deliver_sends_the_newest_until_it_arrives(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int] = [503, 0, 204]
    sent: list[bytes | None] = []

    def transport(method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> OutboundResponse:
        assert (method, url) == ("POST", WEBHOOK)
        sent.append(body)
        if not (status := answers.pop(0)):
            raise OutboundError("no answer")
        return OutboundResponse(status, {}, b"")

    monkeypatch.setattr(outbound, "_transports", [transport])
    seal(2)
    assert deliver_checkpoints() == 0
    assert sent == []
    settings.CHECKPOINT_WEBHOOK = WEBHOOK
    assert [deliver_checkpoints(), deliver_checkpoints()] == [0, 0]
    tree = seal(3)
    assert [deliver_checkpoints(), deliver_checkpoints()] == [1, 0]
    newest = tree.checkpoints.get(size=5).note
    assert sent[-1] == newest.encode()
