"""Stage 7. What came of it: durable before the last byte of the answer goes out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from audit.capture import capture_answer
from gateway.errors import GatewayError, IntegrationAnswerError, IntegrationUnreachableError
from gateway.pipeline.call import Call
from gateway.pipeline.intent import describe, digest, keep, make_row
from gateway.service import Gateway

OK = "ok"
ERROR_REMOTE = "error_remote"
ERROR_PROXY = "error_proxy"
ERROR_AUTH = "error_auth"
DENIED = "denied"
CANCELLED = "cancelled"


async def record_answer(call: Call, gateway: Gateway, document: Mapping[str, Any]) -> None:
    """Write the `completed` event of an invocation that a JSON-RPC response ends, with what is kept of what it says."""
    if not call.is_recorded or call.is_completed:
        return
    details = {**describe(call), "result_digest": digest(call, _encode_answer(document))}
    own = _make_own(call, judge_document(document), details)
    capture, payload = call.caller.integration.capture, None
    if capture is not None:
        payload = await keep(call, gateway, capture_answer(capture, document), own)
    call.is_completed = True
    await gateway.runtime.audit_log.write(make_row(call, own), payload)


async def record_outcome(call: Call, gateway: Gateway, outcome: str, details: Mapping[str, Any] | None = None) -> None:
    """Write the `completed` event of an invocation, once. Raises UnavailableError where that can't be done."""
    if not call.is_recorded or call.is_completed:
        return
    call.is_completed = True
    own = _make_own(call, outcome, details if details is not None else describe(call))
    await gateway.runtime.audit_log.write(make_row(call, own))


def _make_own(call: Call, outcome: str, details: Mapping[str, Any]) -> dict[str, Any]:
    latency_us = int((time.perf_counter() - call.started) * 1_000_000)
    return {"phase": "completed", "outcome": outcome, "latency_us": latency_us, "details": details}


def _encode_answer(document: Mapping[str, Any]) -> bytes:
    result = document.get("result")
    answer = result if isinstance(result, dict) else document.get("error")
    try:
        return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        # What is read from JSON can be written as such, up to 254 levels. Deeper, it would go on without a digest.
        raise IntegrationAnswerError("the integration's answer is nested too deeply") from None


def judge_document(document: Mapping[str, Any]) -> str:
    """Return the outcome that a JSON-RPC response stands for. A tool's own failure is a failure, too."""
    result = document.get("result")
    return OK if isinstance(result, dict) and result.get("isError") is not True else ERROR_REMOTE


def judge_error(error: BaseException) -> str:
    if isinstance(error, IntegrationUnreachableError | IntegrationAnswerError):
        return ERROR_REMOTE
    return ERROR_AUTH if isinstance(error, GatewayError) and error.status in (401, 403) else ERROR_PROXY
