"""The trees' pages: their state, a checkpoint to take along, and an event's proof; for readers of the log alone."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEvent, Cosignature, Outlet, OutletPosition, Tree
from audit.notes import open_checkpoint
from audit.services.record import record_event
from audit.services.seal import seal_events
from orgs.models import CheckpointKey
from orgs.services.checkpoint_keys import get_verifier_keys, sign_checkpoint
from tests.admin.conftest import sign_in
from tests.factories import Cast, make_cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def tree(cast: Cast) -> Tree:
    for number in range(3):
        record_event(type="person.signed_in", organization_id=cast.acme.pk, details={"number": number})
    seal_events(sign=sign_checkpoint)
    return Tree.objects.get(organization_id=cast.acme.pk)


def test_page_shows_the_state_and_the_checkpoint_can_be_taken_along(cast: Cast, tree: Tree) -> None:
    carol = sign_in(cast.carol)
    page = carol.get(reverse("admin:audit_tree_change", args=(tree.pk,))).content.decode()
    note = tree.checkpoints.get().note
    assert tree.origin in page
    assert note.splitlines()[2] in page
    taken = carol.get(reverse("admin:audit_tree_checkpoint", args=(tree.pk,)))
    assert taken.content.decode() == note
    assert taken["Content-Disposition"] == f'attachment; filename="{cast.acme.pk}-3.checkpoint"'
    assert open_checkpoint(taken.content.decode(), get_verifier_keys(tree.origin)).size == 3


def test_event_shows_its_proof_once_it_is_sealed(cast: Cast, tree: Tree) -> None:
    carol = sign_in(cast.carol)
    sealed = AuditEvent.objects.for_organization(cast.acme.pk).first()
    assert sealed is not None
    assert "Inclusion proof" in _read_event(carol, sealed)
    late = record_event(type="person.signed_in", organization_id=cast.acme.pk)
    assert "Not sealed yet" in _read_event(carol, late)


def test_tree_of_another_organization_is_not_found(cast: Cast, tree: Tree) -> None:
    mallory = sign_in(cast.mallory)
    assert mallory.get(reverse("admin:audit_tree_checkpoint", args=(tree.pk,))).status_code == 404
    assert tree.origin not in mallory.get(reverse("admin:audit_tree_changelist")).content.decode()


def test_tree_shows_its_witnesses_and_its_outlets(cast: Cast, tree: Tree, root: Client) -> None:
    address = reverse("admin:audit_tree_change", args=(tree.pk,))
    assert "By nobody." in root.get(address).content.decode()
    checkpoint = tree.checkpoints.order_by("-size")[0]
    Cosignature.objects.create(checkpoint=checkpoint, witness="witness.test/w", line="— witness.test/w c2lnbmVk\n")
    outlet = Outlet.objects.create(name="splunk")
    OutletPosition.objects.create(
        outlet=outlet, tree=tree, size=1, failing_since=timezone.now(), error="it answered HTTP 403"
    )
    page = root.get(address).content.decode()
    assert "— witness.test/w c2lnbmVk" in page
    assert f"splunk: 1 of {tree.size}, failing since" in page
    assert "it answered HTTP 403" in page
    theirs = sign_in(cast.carol).get(address).content.decode()
    assert "— witness.test/w c2lnbmVk" in theirs
    assert "splunk" not in theirs


def test_tree_of_the_installation_is_for_superusers(cast: Cast, root: Client) -> None:
    record_event(type="key.rotated", organization_id=None)
    seal_events(sign=sign_checkpoint)
    tree = Tree.objects.get(organization_id=None)
    address = reverse("admin:audit_tree_checkpoint", args=(tree.pk,))
    assert sign_in(cast.carol).get(address).status_code == 404
    assert root.get(address).status_code == 200


def test_checkpoint_key_is_rotated_by_superusers_alone(cast: Cast, tree: Tree, root: Client) -> None:
    before = CheckpointKey.objects.get()
    address = reverse("admin:orgs_checkpointkey_rotate", args=(before.pk,))
    assert sign_in(cast.carol).post(address).status_code in (302, 403, 404)
    assert CheckpointKey.objects.count() == 1
    assert "signs along" in root.get(address).content.decode()
    assert root.post(address).status_code == 302
    before.refresh_from_db()
    assert before.retired_at is not None
    assert AuditEvent.objects.filter(type="key.rotated").count() == 1
    record_event(type="person.signed_in", organization_id=cast.acme.pk)
    seal_events(sign=sign_checkpoint)
    note = tree.checkpoints.get(size=4).note
    assert [open_checkpoint(note, [key]).size for key in get_verifier_keys(tree.origin)] == [4, 4]


def _read_event(browser: Client, event: AuditEvent) -> str:
    return browser.get(reverse("admin:audit_auditevent_change", args=(event.pk,))).content.decode()
