"""A call that the rules ask about: refused with a page and a code, and passing once somebody has said yes.

Threat 35: an approval covers what was asked, and nothing else; however many processes have a call that it would cover.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from orgs.models import Delegation
from policy.models import Approval, Rule
from policy.services.approve_call import approve_call
from policy.services.deny_call import deny_call
from policy.services.update_rule import update_rule
from policy.services.withdraw_approval import withdraw_approval
from tests.e2e.live import database_url
from tests.e2e.processes import Process, free_port
from tests.factories import allow_integration, issue_token, make_application, make_delegation, make_rule
from tests.gateway.wire.conftest import GatewayProcess, World
from tests.gateway.wire.integration import wait_until

CAN_OPEN: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
SECRET = "the-title-of-an-issue"
ARGUMENTS = {"repo": "acme/frontend", "title": SECRET}
PARAMS: dict[str, Any] = {"name": "create_issue", "arguments": ARGUMENTS}


@pytest.fixture
def asking(world: World) -> Rule:
    """Alice is asked before anything is created, and the gateway knows."""
    rule = make_rule(world.cast.acme, "user", "ask", user=world.cast.alice, capability="create_*")
    other = {"name": "create_issue", "arguments": {"repo": "acme/frontend", "title": "to see whether it asks"}}
    wait_until(lambda: "error" in world.call(params=other).json())
    Approval.objects.all().delete()
    world.scripted.forget()
    return rule


def ask(world: World, params: dict[str, Any] | None = None, **options: Any) -> Approval:
    """Make a call that is asked about, and return the question."""
    error = world.call(params=params or PARAMS, **options).json()["error"]
    assert error["code"] == -32042, error
    (waiting,) = error["data"]["approvals"]
    return Approval.objects.with_names().get(pk=waiting["id"])


def passes(world: World, params: dict[str, Any] | None = None, **options: Any) -> bool:
    """Make a call and tell whether the integration heard of it, which must be what the answer says."""
    before = len(world.scripted.calls())
    document = world.call(params=params or PARAMS, **options).json()
    assert ("result" in document) == (len(world.scripted.calls()) == before + 1)
    return "result" in document


def approve(world: World, approval: Approval, scope: str = "once", lifetime: str = "") -> Approval:
    return approve_call(approval=approval, approver=world.cast.alice, scope=scope, lifetime=lifetime)


@pytest.mark.usefixtures("asking")
def test_call_that_is_asked_about_answers_with_a_page_and_a_code(world: World) -> None:
    answer = world.call(params=PARAMS)

    error = answer.json()["error"]
    approval = Approval.objects.get()
    (waiting,) = error["data"]["approvals"]
    assert (answer.status_code, error["code"]) == (200, -32042)
    assert (error["data"]["code"], error["data"]["layer"]) == ("kontext_approval_required", "user")
    assert error["data"]["requestId"] == answer.headers["x-request-id"]
    assert waiting["url"] == f"{settings.PUBLIC_URL}/approvals/{approval.pk}/"
    assert (waiting["code"], waiting["by"], waiting["status"]) == (approval.code, "Alice Adams", "pending")
    assert approval.code in error["message"]
    (elicitation,) = error["data"]["elicitations"]
    assert (elicitation["mode"], elicitation["url"]) == ("url", waiting["url"])
    assert error["data"]["explanation"]["effect"] == "ask"
    assert world.scripted.seen == []
    assert world.phases()[-1] == ("denied", "denied")
    assert world.events()[-1].details["code"] == "kontext_approval_required"
    assert world.events()[-1].details["approvals"] == [str(approval.pk)]
    assert AuditEvent.objects.filter(type="approval.requested", details__approval=str(approval.pk)).count() == 1


@pytest.mark.usefixtures("asking")
def test_client_that_can_open_pages_is_asked_for_input_once(world: World) -> None:
    asked = world.call(params=PARAMS, meta=CAN_OPEN).json()["result"]

    assert asked["resultType"] == "input_required"
    ((key, request),) = asked["inputRequests"].items()
    approval = Approval.objects.get()
    assert (request["method"], request["params"]["mode"]) == ("elicitation/create", "url")
    assert request["params"]["url"].endswith(f"/approvals/{approval.pk}/")
    assert approval.code in request["params"]["message"]
    # Nobody has answered yet: asking for input again and again would lead nowhere.
    again = {**PARAMS, "inputResponses": {key: {"action": "accept"}, "theirs": {"action": "decline"}}}
    assert world.call(params=again, meta=CAN_OPEN).json()["error"]["code"] == -32042
    approve(world, approval)
    assert "result" in world.call(params=again, meta=CAN_OPEN).json()
    (seen,) = world.scripted.calls()
    assert seen.message["params"]["inputResponses"] == {"theirs": {"action": "decline"}}


@pytest.mark.usefixtures("asking")
def test_client_of_an_older_revision_is_asked_and_passes(world: World) -> None:
    session = world.initialize()
    error = world.legacy("tools/call", PARAMS, session=session).json()["error"]
    assert (error["code"], error["data"]["code"]) == (-32042, "kontext_approval_required")
    approve(world, Approval.objects.get())
    assert "result" in world.legacy("tools/call", PARAMS, session=session).json()
    assert "error" in world.legacy("tools/call", PARAMS, session=session).json()


@pytest.mark.usefixtures("asking")
def test_retry_after_approving_once_passes_once(world: World, gateway_process: GatewayProcess) -> None:
    approval = approve(world, ask(world))

    assert passes(world)
    assert ask(world).pk != approval.pk

    requested = [event for event in world.events() if event.phase == "requested"][-1]
    assert requested.details["approvals"] == [str(approval.pk)]
    assert requested.decision is not None
    assert requested.decision["effect"] == "ask"
    used = AuditEvent.objects.get(type="approval.used")
    assert (used.details["used_by"], used.user_id) == (str(requested.call), world.cast.alice.pk)
    everything = [[event.details, event.decision] for event in AuditEvent.objects.all()]
    assert SECRET not in json.dumps(everything) + gateway_process.log.read_text()


@pytest.mark.usefixtures("asking")
def test_approval_does_not_cover_other_arguments(world: World) -> None:
    approve(world, ask(world))
    others = [
        {**ARGUMENTS, "title": "another"},
        {**ARGUMENTS, "labels": []},
        {"repo": "acme/frontend"},
        {**ARGUMENTS, "title": [SECRET]},
    ]
    assert [passes(world, {"name": "create_issue", "arguments": other}) for other in others] == [False] * 4
    assert Approval.objects.filter(status="pending").count() == 4
    reordered = {"name": "create_issue", "arguments": dict(reversed(ARGUMENTS.items()))}
    assert passes(world, reordered)  # the same arguments, otherwise written


@pytest.mark.usefixtures("asking")
def test_approval_does_not_cover_another_application_or_person(world: World) -> None:
    cast = world.cast
    other = make_application(cast.acme, "Other-Bot", owner=cast.carol)
    allow_integration(other, world.integration)
    make_delegation(other, cast.alice)
    make_rule(cast.acme, "application", "allow", application=other)
    make_delegation(cast.pr_bot, cast.bob)
    make_rule(cast.acme, "org", "allow")
    make_rule(cast.acme, "user", "ask", user=cast.bob)
    others = [issue_token(other, cast.alice, world.endpoint)[0], issue_token(cast.pr_bot, cast.bob, world.endpoint)[0]]
    approve(world, ask(world), "period", "hour")
    wait_until(lambda: passes(world))
    assert [passes(world, bearer=bearer) for bearer in others] == [False, False]


@pytest.mark.usefixtures("asking")
def test_approval_for_these_arguments_or_for_a_time_stays(world: World) -> None:
    other = {"name": "create_issue", "arguments": {**ARGUMENTS, "title": "another"}}
    approve(world, ask(world), "arguments", "hour")
    assert [passes(world), passes(world), passes(world, other)] == [True, True, False]
    period = approve(world, Approval.objects.get(status="pending"), "period", "hour")
    assert [passes(world), passes(world, other)] == [True, True]
    withdraw_approval(approval=period, withdrawer=world.cast.alice)
    wait_until(lambda: not passes(world, other))
    assert passes(world)


@pytest.mark.usefixtures("asking")
def test_approval_ends_when_its_time_does(world: World) -> None:
    approval = ask(world)
    soon = timezone.now() + dt.timedelta(seconds=1)
    with connection.cursor() as cursor:  # an hour is too long for a test
        cursor.execute(
            "UPDATE policy_approval SET status = 'approved', scope = 'period', arguments = '', settled_at = now(),"
            " expires_at = %s WHERE id = %s",
            [soon, approval.pk],
        )
    assert passes(world)
    wait_until(lambda: timezone.now() > soon)
    assert not passes(world)


@pytest.mark.usefixtures("asking")
def test_approval_as_a_rule_stays_until_the_rule_goes(world: World) -> None:
    other = {"name": "create_issue", "arguments": {**ARGUMENTS, "title": "another"}}
    approved = approve(world, ask(world), "rule")
    assert [passes(world), passes(world, other)] == [True, True]
    assert approved.rule is not None
    approved.rule.delete()
    wait_until(lambda: not passes(world, other))
    assert Approval.objects.get(pk=approved.pk).rule is None


def test_change_of_what_asks_asks_again_and_of_other_rules_does_not(world: World, asking: Rule) -> None:
    approve(world, ask(world), "period", "week")
    assert passes(world)
    make_rule(world.cast.acme, "user", "allow", user=world.cast.alice, capability="unrelated")
    make_rule(world.cast.acme, "org", "deny", user=world.cast.bob)
    assert passes(world)
    update_rule(rule=asking, capability="*")
    wait_until(lambda: not passes(world))
    make_rule(world.cast.acme, "org", "deny", klass="write")
    wait_until(lambda: "explanation" in world.call(params=PARAMS).json()["error"]["data"])
    approve(world, Approval.objects.get(status="pending"))
    wait_until(lambda: world.call(params=PARAMS).json()["error"]["data"]["code"] == "kontext_policy_denied")


@pytest.mark.usefixtures("asking")
def test_approval_of_a_former_consent_is_forgotten(world: World) -> None:
    approve(world, ask(world), "period", "week")
    assert passes(world)
    Delegation.objects.filter(application=world.cast.pr_bot).update(granted_at=timezone.now())
    bearer = ""

    def is_asked() -> bool:
        nonlocal bearer
        bearer = world.issue(world.cast.pr_bot, world.cast.alice)
        return "error" in world.call(params=PARAMS, bearer=bearer).json()

    wait_until(is_asked, seconds=3)
    assert world.call(params=PARAMS, bearer=bearer).json()["error"]["data"]["code"] == "kontext_approval_required"


@pytest.mark.usefixtures("asking")
def test_denied_call_is_not_asked_about_again_and_says_why(world: World) -> None:
    deny_call(approval=ask(world), approver=world.cast.alice, reason="Not on a Friday")

    error = world.call(params=PARAMS, meta=CAN_OPEN).json()["error"]

    assert error["data"]["code"] == "kontext_approval_denied"
    assert "Not on a Friday" in error["message"]
    assert error["data"]["approvals"] == []
    assert world.scripted.seen == []
    assert not Approval.objects.filter(status="pending").exists()


@pytest.mark.usefixtures("asking")
def test_call_with_more_than_anybody_reads_is_refused(world: World) -> None:
    huge = {"name": "create_issue", "arguments": {**ARGUMENTS, "title": "x" * 70_000}}
    error = world.call(params=huge).json()["error"]
    assert (error["data"]["code"], error["data"]["reason"]) == ("kontext_approval_required", "too_large")
    assert not Approval.objects.exists()
    assert world.scripted.seen == []


@pytest.mark.usefixtures("asking")
def test_missing_connection_uses_no_approval_up(world: World) -> None:
    approval = approve(world, ask(world))
    world.connection.delete()
    # Of another call, which nothing asks about: until the gateway knows.
    wait_until(
        lambda: "error" in world.call(params={"name": "list_issues", "arguments": {"repo": "acme/frontend"}}).json()
    )

    error = world.call(params=PARAMS).json()["error"]

    assert error["data"]["code"] == "kontext_integration_connection_required"
    assert Approval.objects.get(pk=approval.pk).status == "approved"


@pytest.fixture
def second_gateway(world: World, tmp_path: Path) -> Iterator[World]:
    """The same world, seen through another gateway process."""
    port = free_port()
    environment = {
        "DATABASE_URL": database_url(str(connection.settings_dict["NAME"])),
        # Behind one name, as replicas are: what tokens are for must be the same.
        "KONTEXT_GATEWAY_URL": world.gateway.url,
        "KONTEXT_ROOT_KEY_FILE": str(settings.ROOT_KEY_FILE),
    }
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--host", "127.0.0.1", "--port", str(port))
    command = [sys.executable, "-m", "granian", *options, "gateway.app:app"]
    process = Process("second gateway", command, tmp_path / "log", environment)
    process.wait_until_answers(f"http://127.0.0.1:{port}/healthz")
    yield replace(world, gateway=GatewayProcess(f"http://127.0.0.1:{port}", tmp_path / "log", process.popen.pid))
    process.stop()


@pytest.mark.usefixtures("asking")
def test_concurrent_retries_at_two_gateways_use_one_approval_once(world: World, second_gateway: World) -> None:
    approve(world, ask(world))
    documents: list[Any] = []

    def retry(one: World) -> None:
        documents.append(one.call(params=PARAMS).json())

    threads = [threading.Thread(target=retry, args=(one,)) for one in (world, second_gateway) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(documents) == 16
    assert sum("result" in document for document in documents) == 1
    refused = [document["error"]["data"]["approvals"][0]["id"] for document in documents if "error" in document]
    assert len(set(refused)) == 1  # all of them wait for the same new answer
    assert len(world.scripted.calls()) == 1
    assert AuditEvent.objects.filter(type="approval.used").count() == 1
