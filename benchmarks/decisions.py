"""Decisions of the policy engine: how long one takes among 10, 1,000 and 10,000 rules, and how long compiling them.

Every rule has a condition, and every call finds rules to evaluate in each of its three layers. *Repeated* calls have a
shape (user, application, capability) decided before, as nearly all have in a gateway: those of ten busy people,
or *spread* over everybody, where memory is what one waits for. *New* ones have a shape that never was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from policy.engine import Call, Effect, Layer, Policy, Rule, compile_policy

SIZES = (10, 1_000, 10_000)
ROUNDS = 5
CALLS = 20_000
NOW = 1_795_600_000.0


@dataclass(frozen=True)
class Measured:
    """The best of some rounds, in CPU time of this process: others share the machine, and only ever slow it down."""

    rules: int
    repeated_us: float
    spread_us: float
    new_us: float
    denied_us: float
    could_allow_us: float
    explain_us: float
    compile_ms: float

    @property
    def rate(self) -> float:
        """Decisions a second on one core."""
        return 1e6 / self.repeated_us


def run() -> list[Measured]:
    return [_measure(size) for size in SIZES]


def main() -> None:
    print("policy engine, one core; every rule has a condition")
    print("   rules   decisions/s   repeated     spread        new     denied   listing   explain   compile")
    for one in run():
        times = "".join(f"{us:8.2f} µs" for us in (one.repeated_us, one.spread_us, one.new_us, one.denied_us))
        print(
            f"{one.rules:8,} {one.rate:13,.0f}{times}{one.could_allow_us:7.1f} µs {one.explain_us:6.0f} µs"
            f" {one.compile_ms:6.0f} ms"
        )
    print()


def _measure(size: int) -> Measured:
    rules = list(islice(_make_rules(size), size))
    compiling = [_time(lambda: compile_policy(rules)) for _ in range(ROUNDS)]
    policy = compile_policy(rules)
    people = max(1, size // 10)
    allowed = [_make_call(number % people) for number in range(CALLS)]
    busy = [_make_call(number % min(people, 10)) for number in range(CALLS)]
    denied = [_make_call(number % people, repo="acme/elsewhere") for number in range(CALLS)]
    assert all(policy.decide(call).is_allowed for call in allowed[:people])
    assert not any(policy.decide(call).is_allowed for call in denied[:people])
    return Measured(
        rules=size,
        repeated_us=_time_each(policy, busy, Policy.decide),
        spread_us=_time_each(policy, allowed, Policy.decide),
        new_us=_time_new(rules, people),
        denied_us=_time_each(policy, denied, Policy.decide),
        could_allow_us=_time_each(policy, allowed, Policy.could_allow),
        explain_us=_time_each(policy, denied[:500], lambda policy, call: policy.decide(call).explain()),
        compile_ms=min(compiling) * 1e3,
    )


def _make_rules(size: int) -> Iterator[Rule]:
    """Yield ten rules for each person: group and personal ones, and one repository of the shared application's."""
    number = 0
    for person in range(max(1, size // 10)):
        about: dict[str, Any] = {"group": f"group-{person % 50}", "integration": "github"}
        own: dict[str, Any] = {"user": f"user-{person}", "integration": "github"}
        of_bot: dict[str, Any] = {"application": "pr-bot", "integration": "github"}
        repository = {"argument": "repo", "operator": "equals", "value": f"acme/repo-{person}"}
        large = {"argument": "count", "operator": "greater_than", "value": 1000}
        working = {"unless": {"argument": "draft", "operator": "equals", "value": True}}
        ours = {"argument": "repo", "operator": "starts_with", "value": "acme/"}
        for layer, effect, fields, capability, conditions in (
            (Layer.ORG, Effect.ALLOW, about, "*", ours),
            (Layer.ORG, Effect.DENY, about, "delete_*", {"argument": "repo", "operator": "exists"}),
            (Layer.USER, Effect.ALLOW, own, "create_issue", working),
            (Layer.USER, Effect.DENY, own, "create_*", large),
            (Layer.USER, Effect.ASK, own, "close_issue", ours),
            (Layer.USER, Effect.ALLOW, own, "list_*", ours),
            (Layer.APPLICATION, Effect.ALLOW, of_bot, "create_issue", {"all": [repository, working]}),
            (Layer.APPLICATION, Effect.ALLOW, of_bot, "list_*", repository),
            (Layer.APPLICATION, Effect.ASK, of_bot, "close_issue", repository),
            (Layer.APPLICATION, Effect.DENY, of_bot, "delete_repo", repository),
        ):
            number += 1
            rule_id = f"rule-{number:06}"
            yield Rule(id=rule_id, layer=layer, effect=effect, capability=capability, conditions=conditions, **fields)


def _make_call(person: int, repo: str = "", application: str = "pr-bot") -> Call:
    return Call(
        user=f"user-{person}",
        groups=frozenset({f"group-{person % 50}", "everyone-else"}),
        application=application,
        integration="github",
        capability="create_issue",
        klass="write",
        arguments={"repo": repo or f"acme/repo-{person}", "title": "It broke", "count": 3, "draft": False},
        now=NOW,
    )


def _time_each(policy: Policy, calls: list[Call], do: Callable[[Policy, Call], object]) -> float:
    def repeat() -> None:
        for call in calls:
            do(policy, call)

    repeat()
    return min(_time(repeat) for _ in range(ROUNDS)) / len(calls) * 1e6


def _time_new(rules: list[Rule], people: int) -> float:
    """Time calls whose shapes were never seen, on a policy that has decided before."""
    calls = [_make_call(number % people, application=f"bot-{number // people}") for number in range(2_000)]
    taken = []
    for _ in range(ROUNDS):
        policy = compile_policy(rules)
        for person in range(people):
            policy.decide(_make_call(person))
        taken.append(_time(lambda: [policy.decide(call) for call in calls]))  # noqa: B023
    return min(taken) / len(calls) * 1e6


def _time(do: Callable[[], object]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start


if __name__ == "__main__":
    main()
