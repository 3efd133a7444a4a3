"""An S3 that somebody else wrote."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from orgs import object_store
from tests.e2e.processes import Process, free_port, python_module

SECRET = "secret-of-the-bucket"


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto, whose S3 this talks to, is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = python_module("moto.server", "-H", "127.0.0.1", "-p", str(port))
    server = Process("moto", command, tmp_path_factory.mktemp("moto") / "log")
    try:
        server.wait_until_answers(f"{url}/moto-api/")
        yield url
    finally:
        server.stop()


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch, moto: str) -> Iterator[Any]:
    """An empty bucket, acme-audit, at the endpoint that the settings name."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "kontext")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    settings.ALLOW_PRIVATE_NETWORKS, settings.S3_ENDPOINT, settings.S3_REGION = True, moto, "us-east-1"
    settings.EVENT_STREAM_S3 = "s3://acme-audit/kontext"
    object_store._get_client.cache_clear()
    made = boto3.resource("s3", endpoint_url=moto, region_name="us-east-1").Bucket("acme-audit")
    made.create()
    yield made
    made.objects.all().delete()
    made.delete()
    object_store._get_client.cache_clear()
