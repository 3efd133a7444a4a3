"""A person hears by e-mail, and the organization at its places, that a connection fails, works again, or will end."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from connections.models import Connection, Integration
from connections.services.refresh_fence import require_reauthorization
from connections.services.store_credential import NewCredential, activate_connection
from connections.services.tell_of_connection import tell_of_change
from connections.tasks import tell_expiring
from orgs.models import Notice
from orgs.services.set_notice_place import set_notice_place
from tests.factories import Cast, make_cast, make_connection

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    cast = make_cast()
    set_notice_place(organization=cast.acme, name="Team", means="email", address="team@acme.test")
    set_notice_place(organization=cast.globex, name="Hers", means="email", address="mallory@globex.test")
    return cast


def addresses(notice: Notice) -> list[str]:
    return sorted(delivery.address for delivery in notice.deliveries.all())


def connect(cast: Cast, **fields: Any) -> Connection:
    return make_connection(cast.github, cast.alice, account="alice-acme", **fields)


def test_failure_is_told_to_the_person_and_the_organization_once(cast: Cast, settings: Settings) -> None:
    connection = connect(cast)
    require_reauthorization(connection, cause="the service revoked it")
    require_reauthorization(Connection.objects.get(), cause="and again")
    notice = Notice.objects.get()
    assert (notice.kind, notice.organization) == ("connection.failed", cast.acme)
    assert notice.subject == "Alice Adams's connection to Github has to be reconnected"
    assert addresses(notice) == sorted(["team@acme.test", cast.alice.email])
    said = notice.data["connection"]
    assert (said["account"], said["cause"]) == ("alice-acme", "the service revoked it")
    assert said["reconnectUrl"] == f"{settings.PUBLIC_URL}{reverse('connections:list')}#card-{cast.github.pk}"


def test_recovery_is_told_after_a_failure_alone(cast: Cast) -> None:
    new = NewCredential(document={"access_token": "secret-of-alice"}, account="alice-acme")
    connection = activate_connection(integration=cast.github, user=cast.alice, new=new)
    activate_connection(integration=cast.github, user=cast.alice, new=new)
    assert not Notice.objects.exists()
    require_reauthorization(Connection.objects.get(pk=connection.pk), cause="revoked")
    activate_connection(integration=cast.github, user=cast.alice, new=new)
    assert sorted(Notice.objects.values_list("kind", flat=True)) == ["connection.failed", "connection.recovered"]
    assert "secret-of-alice" not in str(list(Notice.objects.values()))


def test_refused_client_is_told_to_the_organization_alone(cast: Cast) -> None:
    connection = connect(cast, status="error", error="invalid_client")
    tell_of_change(connection, "active")
    notice = Notice.objects.get()
    assert addresses(notice) == ["team@acme.test"]
    assert notice.path == reverse("admin:connections_integration_change", args=(cast.github.pk,))


def test_end_that_nothing_can_avert_is_told_once(cast: Cast) -> None:
    now = timezone.now()
    connection = connect(cast, expires_at=now + dt.timedelta(days=3), connected_at=now - dt.timedelta(days=30))
    tell_expiring()
    tell_expiring()
    notice = Notice.objects.get()
    assert (notice.kind, addresses(notice)) == ("connection.expiring", sorted(["team@acme.test", cast.alice.email]))
    Connection.objects.filter(pk=connection.pk).update(expires_at=now + dt.timedelta(days=4))
    tell_expiring()
    assert Notice.objects.count() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"is_renewable": True},
        {"status": "reauthorization_required"},
        {"connected_at": dt.timedelta(hours=1)},
        {"expires_at": dt.timedelta(days=-8)},
        {"expires_at": None},
    ],
)
def test_end_that_is_no_news_is_not_told(cast: Cast, fields: dict[str, Any]) -> None:
    now = timezone.now()
    times = {"expires_at": now + dt.timedelta(hours=5), "connected_at": now - dt.timedelta(days=30)}
    given = {name: now - value if isinstance(value, dt.timedelta) else value for name, value in fields.items()}
    connect(cast, **{**times, **given})
    tell_expiring()
    assert not Notice.objects.exists()


def test_end_of_a_switched_off_integration_is_not_told(cast: Cast) -> None:
    now = timezone.now()
    connect(cast, expires_at=now + dt.timedelta(days=3), connected_at=now - dt.timedelta(days=30))
    Integration.objects.filter(pk=cast.github.pk).update(status="disabled")
    tell_expiring()
    assert not Notice.objects.exists()
