"""Periodic work deletes what no longer verifies, and nothing else; doing it twice is harmless."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_grant_model, get_refresh_token_model
from social_django.models import Association, Nonce

from kontext.celery import app
from orgs import tasks
from orgs.models import IssuedToken, SigningKey
from tests.factories import Cast, make_cast
from tests.orgs.oauth.conftest import OAuth

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def test_every_scheduled_task_of_this_floor_exists() -> None:
    app.loader.import_default_modules()
    scheduled: set[Any] = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {name for name in scheduled if str(name).startswith("orgs.")} <= set(app.tasks)


def test_expired_things_go_and_live_ones_stay(client: Client, cast: Cast) -> None:
    oauth = OAuth(client)
    oauth.sign_in(cast.alice)
    old = oauth.get_tokens(cast.pr_bot)
    long_ago = timezone.now() - dt.timedelta(days=60)
    get_access_token_model().objects.update(expires=long_ago)
    IssuedToken.objects.update(expires_at=long_ago)
    Nonce.objects.create(server_url="x", timestamp=int(long_ago.timestamp()), salt="x")
    Association.objects.create(
        server_url="x", handle="x", secret="x", issued=int(long_ago.timestamp()), lifetime=1, assoc_type="x"
    )
    live = oauth.get_tokens(cast.pr_bot)
    oauth.authorize(cast.pr_bot)
    get_grant_model().objects.update(expires=long_ago)

    for _ in range(2):
        tasks.delete_expired_tokens()
        tasks.delete_unclaimed()

    assert IssuedToken.objects.get().revoked_at is None
    assert get_refresh_token_model().objects.count() == 1
    assert not get_grant_model().objects.exists()
    assert not Nonce.objects.exists()
    assert not Association.objects.exists()
    assert oauth.refresh(cast.pr_bot, old["refresh_token"])[0] == 400
    assert oauth.refresh(cast.pr_bot, live["refresh_token"])[0] == 200


def test_keys_rotate() -> None:
    tasks.rotate_keys()
    tasks.rotate_keys()
    assert SigningKey.objects.filter(state="active").count() == 1
    assert SigningKey.objects.filter(state="next").count() == 1
