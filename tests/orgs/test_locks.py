"""Whoever takes access away waits for a token that is being issued, and then finds it."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection, transaction

from orgs.locks import hold_still
from orgs.models import Application, Delegation, Membership, User
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


def test_held_rows_can_not_be_taken_away_but_be_held_by_others() -> None:
    cast = make_cast()
    membership = Membership.objects.active().filter(user=cast.alice)
    held, finished = threading.Event(), threading.Event()

    def issue() -> None:
        with transaction.atomic():
            assert hold_still(Application.objects.usable().filter(pk=cast.pr_bot.pk))
            assert hold_still(membership)
            assert hold_still(Delegation.objects.usable().filter(user=cast.alice))
            held.set()
            finished.wait(10)
        connection.close()

    issuer = threading.Thread(target=issue)
    issuer.start()
    try:
        assert held.wait(10)
        for rows in (
            Application.objects.filter(pk=cast.pr_bot.pk).only("status"),
            Membership.objects.filter(user=cast.alice),
            User.objects.filter(pk=cast.alice.pk),
            Delegation.objects.filter(user=cast.alice),
        ):
            with pytest.raises(OperationalError), transaction.atomic():
                list(rows.select_for_update(nowait=True))
        with transaction.atomic():
            assert hold_still(membership)
    finally:
        finished.set()
        issuer.join()


def test_rows_that_are_not_there_hold_nothing() -> None:
    with transaction.atomic():
        assert not hold_still(Membership.objects.filter(user_id=make_cast().pr_bot.pk))
