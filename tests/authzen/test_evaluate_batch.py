"""Many decisions in one request: defaults, the three semantics, and what is wrong with one of them alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.authzen.client import Pdp, make_pdp
from tests.factories import Cast, make_application

FRONTEND, BACKEND = ({"name": "tools/call", "properties": {"repo": f"acme/{name}"}} for name in ("frontend", "backend"))


def batch(cast: Cast, actions: list[Any], semantic: str | None = None) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": str(cast.alice.pk)},
        "resource": {"type": "tool", "id": "github:create_issue"},
        "evaluations": [{"action": action} for action in actions],
        **({"options": {"evaluations_semantic": semantic}} if semantic else {}),
    }


@pytest.mark.parametrize(
    ("semantic", "answered"),
    [
        (None, [True, False, True]),
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_evaluate_batch_ends_as_its_semantic_says(
    cast: Cast, pdp: Pdp, semantic: str | None, answered: list[bool]
) -> None:
    assert pdp.evaluate_all(batch(cast, [FRONTEND, BACKEND, FRONTEND], semantic)) == answered


def test_evaluate_batch_takes_whole_defaults_and_lets_each_override_them(cast: Cast, pdp: Pdp) -> None:
    data = batch(cast, [])
    data["action"] = FRONTEND
    data["evaluations"] = [
        {},
        {"subject": {"type": "user", "id": str(cast.bob.pk)}},
        {"action": {"name": "tools/call"}},  # replaces the default whole: no repository is left
        {"resource": {"type": "tool", "id": "github:delete_repo"}},
        {"context": {"agent": "app_nobody"}},
    ]
    assert pdp.evaluate_all(data) == [True, False, False, False, False]


def test_evaluate_batch_says_what_is_wrong_with_one_and_decides_the_others(cast: Cast, pdp: Pdp) -> None:
    data = batch(cast, [FRONTEND, {"name": 7}, FRONTEND])
    data["evaluations"] += ["nonsense", {}]
    answer = pdp.post("evaluations", data)
    assert [one["decision"] for one in answer.json["evaluations"]] == [True, False, True, False, False]
    wrong = answer.json["evaluations"][1]["context"]["error"]
    assert (wrong["status"], wrong["code"], list(wrong["fields"])) == (400, "kontext_validation_error", ["action.name"])
    assert list(answer.json["evaluations"][4]["context"]["error"]["fields"]) == ["action"]


@pytest.mark.parametrize("semantic", ["deny_on_first_deny", "execute_all"])
def test_evaluate_batch_counts_an_error_as_denial(cast: Cast, pdp: Pdp, semantic: str) -> None:
    answered = pdp.evaluate_all(batch(cast, [FRONTEND, {}, FRONTEND], semantic))
    assert answered == ([True, False] if semantic == "deny_on_first_deny" else [True, False, True])


def test_evaluate_batch_refuses_in_each_what_the_asker_may_not_ask(cast: Cast) -> None:
    helper = make_pdp(make_application(cast.acme, "Helper", owner=cast.alice))
    data = batch(cast, [FRONTEND])
    data["context"] = {"agent": cast.pr_bot.client_id}
    data["evaluations"].append({"action": FRONTEND, "subject": {"type": "user", "id": str(cast.bob.pk)}})
    answer = helper.post("evaluations", data)
    assert [one["decision"] for one in answer.json["evaluations"]] == [True, False]
    assert answer.json["evaluations"][1]["context"]["error"]["code"] == "kontext_forbidden"


@pytest.mark.parametrize("evaluations", [None, []])
def test_evaluate_batch_of_none_is_a_single_evaluation(cast: Cast, pdp: Pdp, evaluations: Any) -> None:
    data = {**batch(cast, []), "action": FRONTEND}
    del data["evaluations"]
    answer = pdp.post("evaluations", data if evaluations is None else {**data, "evaluations": evaluations})
    assert answer.decision is True


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"evaluations": {}}, "evaluations"),
        ({"evaluations": [{}] * 1001}, "evaluations"),
        ({"options": []}, "options"),
        ({"options": {"evaluations_semantic": "any"}}, "options.evaluations_semantic"),
        ({"options": {"evaluations_semantic": ["execute_all"]}}, "options.evaluations_semantic"),
        ({"subject": "alice"}, "subject"),
        ({"context": {"time": "later"}}, "context.time"),
    ],
)
def test_evaluate_batch_wrong_as_a_whole_returns_400(cast: Cast, pdp: Pdp, changes: dict[str, Any], field: str) -> None:
    answer = pdp.post("evaluations", {**batch(cast, [FRONTEND]), **changes})
    assert answer.status == 400
    assert list(answer.json["fields"]) == [field]


def test_evaluate_batch_takes_as_many_queries_for_hundred_as_for_two(
    cast: Cast, pdp: Pdp, django_assert_max_num_queries: Any
) -> None:
    pdp.evaluate_all(batch(cast, [FRONTEND]))
    for number in (2, 100):
        with django_assert_max_num_queries(16):
            assert pdp.evaluate_all(batch(cast, [FRONTEND] * number)) == [True] * number
