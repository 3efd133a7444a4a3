"""A rule's limit holds across gateway processes, and costs only the calls that it decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import connection

from policy.models import LimitUse, Rule
from tests.factories import make_rule
from tests.gateway.wire.conftest import GatewayProcess, World, start_gateway
from tests.gateway.wire.integration import wait_until

LIMITED = {"limit_count": 20, "limit_period": "hour", "limit_per": "application"}


@pytest.fixture
def second(world: World, tmp_path: Path) -> Iterator[GatewayProcess]:
    """Another process that serves the same, under the same name."""
    yield from start_gateway(tmp_path, database=str(connection.settings_dict["NAME"]), known_as=world.gateway.url)


def limit(world: World, **fields: Any) -> Rule:
    Rule.objects.filter(layer="application").delete()
    return make_rule(
        world.cast.acme, "application", "allow", application=world.cast.pr_bot, integration=world.integration, **fields
    )


def call_at(world: World, url: str) -> httpx2.Response:
    """Make a call at one process, as a balancer of load would pass it on."""
    with httpx2.Client(timeout=20, headers={"Host": world.gateway.url.removeprefix("http://")}) as http:
        return replace(world, http=_At(http, world.gateway.url, url)).call()  # type: ignore[arg-type]


@dataclass
class _At:
    http: httpx2.Client
    known_as: str
    url: str

    def post(self, address: str, **options: Any) -> httpx2.Response:
        return self.http.post(address.replace(self.known_as, self.url), **options)


def test_limit_holds_exactly_across_two_processes(world: World, second: GatewayProcess) -> None:
    limit(world, **LIMITED)
    urls = [world.gateway.url, second.url] * 20
    wait_until(lambda: call_at(world, second.url).status_code == 200)
    LimitUse.objects.all().delete()
    world.scripted.forget()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda url: call_at(world, url).json(), urls))

    codes = Counter(answer.get("error", {}).get("data", {}).get("code", "allowed") for answer in answers)
    assert codes == {"allowed": 20, "kontext_limit_reached": 20}
    assert LimitUse.objects.get().used == 20


def test_refusal_says_which_limit_and_when_to_come_back(world: World) -> None:
    rule = limit(world, **{**LIMITED, "limit_count": 1})
    assert "result" in world.call().json()
    refused = world.call()
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["data"]["code"]) == (200, -32007, "kontext_limit_reached")
    seconds = int(refused.headers["retry-after"])
    assert 3500 < seconds <= 3600
    assert error["data"]["retryAfter"] == seconds
    assert error["data"]["layer"] == "application"
    assert "its limit of once an hour for each application is used up" in error["data"]["explanation"]["sentence"]
    denied = world.events()[-1]
    assert (denied.phase, denied.outcome, denied.details["code"]) == ("denied", "denied", "kontext_limit_reached")
    assert str(rule.pk) in str(denied.decision)
    assert "create_issue" in world.call("tools/list", {}).text


def test_calls_that_no_limit_decides_count_nothing(world: World) -> None:
    make_rule(world.cast.acme, "application", "allow", application=world.cast.pr_bot, **LIMITED)
    assert "result" in world.call().json()
    assert world.call(params={"name": "delete_repo", "arguments": {}}).json()["error"]["code"] == -32003
    assert not LimitUse.objects.exists()


def test_call_that_can_not_be_counted_does_not_happen(world: World) -> None:
    limit(world, **LIMITED)
    assert "result" in world.call().json()
    happened = len(world.scripted.calls("tools/call"))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE policy_limituse RENAME TO policy_limituse_away")
        try:
            refused = world.call()
        finally:
            cursor.execute("ALTER TABLE policy_limituse_away RENAME TO policy_limituse")
    assert (refused.status_code, refused.json()["error"]["data"]["code"]) == (503, "kontext_unavailable")
    assert len(world.scripted.calls("tools/call")) == happened
    assert LimitUse.objects.get().used == 1
