"""Objects in an S3-compatible bucket. Signing is boto3's, sending is ours: through the checked way to the outside.

Credentials are found as the AWS SDK finds them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the identity
that the machine has from its cloud (which boto3 asks its metadata service for, by itself).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from orgs.outbound import OutboundError, send


class StoreError(Exception):
    """The object is not there, or nobody said that it is. `is_answer` tells a refusal from silence."""

    def __init__(self, text: str, *, is_answer: bool) -> None:
        super().__init__(text)
        self.is_answer = is_answer


@dataclass(frozen=True)
class Place:
    """A bucket, and what all names in it begin with: empty, or ending in a slash."""

    bucket: str
    prefix: str = ""

    def put(self, name: str, body: bytes, *, content_type: str) -> None:
        """Write an object, over what was there under this name. Raises StoreError."""
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        _put(
            Bucket=self.bucket,
            Key=f"{self.prefix}{name}",
            Body=body,
            ContentType=content_type,
            ChecksumSHA256=checksum,
        )


def read_place(url: str, *, setting: str) -> Place:
    """Return the place that s3://bucket/prefix names. Raises ImproperlyConfigured, also where boto3 is missing."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{setting} must read s3://bucket or s3://bucket/prefix")
    try:
        import boto3  # noqa: F401
    except ImportError:
        raise ImproperlyConfigured(f"{setting} needs the package boto3: install the extra `s3`") from None
    prefix = parts.path.strip("/")
    return Place(parts.netloc, f"{prefix}/" if prefix else "")


def _put(**arguments: Any) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _get_client(settings.S3_ENDPOINT, settings.S3_REGION).put_object(**arguments)
    except OutboundError as error:
        raise StoreError(str(error), is_answer=False) from None
    except ClientError as error:
        answer = error.response.get("Error", {})
        raise StoreError(f"it answered {answer.get('Code', 'an error')!s:.60}", is_answer=True) from None
    except BotoCoreError as error:
        raise StoreError(f"nothing was sent: {type(error).__name__}", is_answer=False) from None


@lru_cache(maxsize=4)
def _get_client(endpoint: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        # Whoever calls tries again, later and in order.
        retries={"total_max_attempts": 1},
        s3={"payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint or None, region_name=region or None, config=config
    )
    client.meta.events.register("before-send.s3", _send)
    return client


def _send(request: Any, **_: Any) -> Any:
    from botocore.awsrequest import AWSResponse, HeadersDict

    headers = {str(name): _to_text(value) for name, value in request.headers.items() if name.lower() != "expect"}
    response = send(request.method, request.url, headers=headers, body=request.body)
    return AWSResponse(request.url, response.status, HeadersDict(response.headers), _Body(response.body))


@dataclass(frozen=True)
class _Body:
    content: bytes

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.content


def _to_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
