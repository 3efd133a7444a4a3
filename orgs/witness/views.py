"""add-checkpoint, and the newest checkpoint of each log for those who watch them. Whoever may ask is who has signed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from audit.models import WitnessedLog
from audit.notes import VerifierKey
from audit.services.cosign import cosign_checkpoint
from audit.services.record import record_event
from audit.types import EventType
from audit.witness import SIZE_TYPE, ConflictError, InconsistentError, Submission, WitnessError, parse_submission
from orgs.errors import say
from orgs.http import get_request_id, get_source_address, make_actor
from orgs.limits import Limit, record_use
from orgs.services.witness_key import cosign_text
from orgs.witness.logs import read_trusted_logs

logger = logging.getLogger(__name__)

SUBMISSIONS = Limit("witness-submissions", uses=600)
REFUSALS = Limit("witness-refusals", uses=20, seconds=3600)
# 63 hashes and 64 signatures are 10 KB, post-quantum ones 320.
_MOST_BYTES = 400_000
_TEXT = "text/plain; charset=utf-8"


@csrf_exempt
def add_checkpoint(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _answer_error(405, "kontext_method_not_allowed", "Submit a checkpoint with POST.", Allow="POST")
    wait = record_use(SUBMISSIONS, get_source_address(request) or "")
    if wait:
        text = f"Too many requests: try again in {wait} seconds."
        return _answer_error(429, "kontext_rate_limited", text, **{"Retry-After": str(wait)})
    body = request.read(_MOST_BYTES + 1)
    if len(body) > _MOST_BYTES:
        return _answer_error(413, "kontext_body_too_large", f"A submission has at most {_MOST_BYTES} bytes.")
    try:
        trusted = read_trusted_logs()
        submission = parse_submission(body)
        return HttpResponse(_cosign(submission, trusted.get(submission.origin, ())), content_type=_TEXT)
    except ConflictError as conflict:
        return HttpResponse(f"{conflict.size}\n", status=conflict.status, content_type=SIZE_TYPE)
    except WitnessError as error:
        return _answer_error(error.status, error.code, say(error))
    except ImproperlyConfigured as wrong:
        logger.error("nothing can be witnessed: %s", wrong)
        return _answer_error(503, "kontext_unavailable", "This witness is not set up correctly: tell its operator.")


@require_GET
def checkpoint(request: HttpRequest, origin_hash: str) -> HttpResponse:
    """Answer with the newest checkpoint that was cosigned, for a log named by the SHA-256 of its origin."""
    for origin, note in WitnessedLog.objects.filter(~Q(note="")).values_list("origin", "note"):
        if hashlib.sha256(origin.encode()).hexdigest() == origin_hash:
            return HttpResponse(note, content_type=_TEXT)
    return _answer_error(404, "kontext_not_found", "This witness has cosigned no checkpoint of such a log.")


def _cosign(submission: Submission, keys: Sequence[VerifierKey]) -> str:
    try:
        return cosign_checkpoint(submission, keys=keys, cosign=cosign_text)
    except InconsistentError as error:
        logger.warning("%s was not cosigned: %s", submission.origin, error)
        _keep_evidence(submission, error)
        raise


def _keep_evidence(submission: Submission, error: InconsistentError) -> None:
    """Keep what the log has signed, and what is not what it signed before: this may be all the proof there ever is.

    Anybody can send an old checkpoint with a proof that proves nothing, so there is a limit.
    """
    if record_use(REFUSALS, submission.origin):
        return
    record_event(
        type=EventType.WITNESS_REFUSED,
        organization_id=None,
        outcome="denied",
        actor=make_actor(),
        details={"name": submission.origin, "note": submission.note[:4000], "reason": str(error)},
    )


def _answer_error(status: int, code: str, message: str, **headers: str) -> HttpResponse:
    body = {"message": message, "statusCode": status, "code": code, "requestId": get_request_id()}
    return JsonResponse(body, status=status, headers=headers)
