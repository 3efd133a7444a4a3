"""Between the credential and the log: what the rules ask about goes on with an approval, or waits for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from audit.services.record import Actor
from gateway.errors import ApprovalRefusedError, ApprovalRequiredError, PolicyDeniedError
from gateway.facts import ApprovalPage
from gateway.pipeline.call import Call
from gateway.pipeline.intent import digest_arguments
from gateway.service import Gateway
from policy.errors import ApprovalDeniedError, ApprovalImpossibleError
from policy.services.use_approvals import AskedCall

if TYPE_CHECKING:
    from policy.engine import Question


async def obtain_approval(call: Call, gateway: Gateway) -> None:
    """Let a call pass that the rules ask about, if it is approved.

    Raises ApprovalRequiredError where somebody has to be asked (and now is), PolicyDeniedError where nothing asks.
    """
    assert call.decision is not None
    questions = call.decision.get_questions()
    if not questions:
        raise PolicyDeniedError("this call is not allowed", call.decision)
    digest, since = digest_arguments(call), _get_consent(call)
    approvals = gateway.runtime.approvals
    standing = approvals.find_standing(call.caller.snapshot, _get_topic(call), questions, digest=digest, since=since)
    if standing is not None:
        call.approvals = standing
        return
    try:
        used, pages = await approvals.use(_make_asked(call, questions, digest, since))
    except ApprovalDeniedError as error:
        raise ApprovalRefusedError(str(error), call.decision, reason="refused") from None
    except ApprovalImpossibleError as error:
        raise ApprovalRequiredError(str(error), call.decision, reason=error.reason) from None
    if pages:
        # With the event of the refusal, too: the call's page leads from there to where it can be answered.
        call.approvals = tuple(page.id for page in pages)
        raise ApprovalRequiredError(_say_required(call, pages), call.decision, pages=pages)
    call.approvals = used


def _get_topic(call: Call) -> tuple[str | None, str, str, str, str]:
    principal = call.caller.principal
    return principal.user_id, principal.application_id, call.caller.integration.id, _get_kind(call), call.name


def _get_kind(call: Call) -> str:
    assert call.method is not None
    assert call.method.kind is not None
    return call.method.kind.value


def _get_consent(call: Call) -> float:
    """Return when the person last let the application act for them; long ago where it acts for nobody."""
    principal = call.caller.principal
    if principal.user_id is None:
        return 0.0
    consent = call.caller.snapshot.delegations.get((principal.user_id, principal.application_id))
    return consent.granted_at if consent is not None else float("inf")


def _make_asked(call: Call, questions: tuple[Question, ...], digest: str, since: float) -> AskedCall:
    assert call.decision is not None
    principal = call.caller.principal
    user_id = UUID(principal.user_id) if principal.user_id is not None else None
    return AskedCall(
        organization_id=UUID(principal.organization_id),
        user_id=user_id,
        application_id=UUID(principal.application_id),
        integration_id=UUID(call.caller.integration.id),
        kind=_get_kind(call),
        capability=call.name,
        klass=call.capability.klass if call.capability is not None else "",
        arguments=orjson.dumps(call.message.params.get("arguments") or {}, option=orjson.OPT_SORT_KEYS),
        arguments_digest=digest,
        questions=questions,
        policy_version=call.decision.version,
        call=UUID(call.id),
        since=since,
        actor=Actor(
            user_id=user_id,
            user_name=principal.user_name,
            application_id=UUID(principal.application_id),
            application_name=principal.application_name,
            source_address=call.caller.source_address,
            request_id=call.exchange.request_id,
        ),
    )


def _say_required(call: Call, pages: Sequence[ApprovalPage]) -> str:
    who = " and by ".join(f"{page.by} (code {page.code})" for page in pages)
    return f"{call.caller.integration.slug}:{call.name} with these arguments has to be approved first, by {who}"
