"""S3 against moto's server: somebody else's implementation, in a process of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from audit.models import OutletPosition
from orgs.outlets.base import Batch, OutletError
from orgs.outlets.configured import get_outlets
from orgs.services.stream_events import stream_events
from tests.audit.trees import ACME
from tests.outlets.collectors import make_batch, seal, sealed
from tests.outlets.conftest import SECRET

pytestmark = pytest.mark.django_db


def read(bucket: Any) -> dict[str, list[dict[str, Any]]]:
    return {
        found.key: [json.loads(line) for line in found.get()["Body"].read().splitlines()]
        for found in bucket.objects.all()
    }


def test_stream_writes_objects_named_by_tree_and_leaves(bucket: Any) -> None:
    seal(3)
    assert stream_events(get_outlets()["s3"], seconds=10) == 3
    seal(2)
    assert stream_events(get_outlets()["s3"], seconds=10) == 2
    objects = read(bucket)
    assert list(objects) == [
        f"kontext/{ACME}/0000000000000000-0000000000000002.jsonl",
        f"kontext/{ACME}/0000000000000003-0000000000000004.jsonl",
    ]
    assert [event["metadata"]["uid"] for events in objects.values() for event in events] == sealed()
    assert next(iter(bucket.objects.all())).Object().content_type == "application/x-ndjson"


def test_send_again_writes_the_same_object(bucket: Any) -> None:
    batch: Batch = make_batch()
    for _ in range(2):
        get_outlets()["s3"].send(batch)
    assert len(read(bucket)) == 1


def test_missing_bucket_is_a_failure_that_says_so(
    bucket: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EVENT_STREAM_S3 = "s3://nobody-has-this"
    seal(1)
    assert stream_events(get_outlets()["s3"], seconds=10) == 0
    assert OutletPosition.objects.get().error == "it answered NoSuchBucket"
    assert SECRET not in caplog.text


def test_private_endpoint_is_not_asked_unless_allowed(bucket: Any, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises(OutletError, match="https"):
        get_outlets()["s3"].send(make_batch())
    assert read(bucket) == {}


@pytest.mark.parametrize("url", ["https://bucket", "s3://", "bucket", "s3://bucket/x?y"])
def test_setting_that_names_no_bucket_is_refused(settings: Settings, url: str) -> None:
    settings.EVENT_STREAM_S3 = url
    with pytest.raises(ImproperlyConfigured, match="KONTEXT_EVENT_STREAM_S3"):
        get_outlets()
