"""The matrix says of each call what deciding it would say, without a query for each."""

from __future__ import annotations

import time
from typing import Any

from connections.models import Capability
from orgs.models import Membership, User
from policy.matrix import NOBODY, Matrix, build_matrix
from tests.factories import Cast, make_application, make_capability, make_rule

FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


def write_story(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice, capability="create_issue")
    make_rule(cast.acme, "user", "deny", user=cast.alice, capability="delete_repo")
    make_rule(cast.acme, "user", "allow", user=cast.bob)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, conditions=FRONTEND)


def read(matrix: Matrix) -> dict[tuple[str, str], str]:
    """Return the states by the names of row and column."""
    return {
        (row.name, column.name): state
        for row, states in zip(matrix.rows.entries, matrix.states, strict=True)
        for column, state in zip(matrix.columns.entries, states, strict=True)
    }


def test_build_with_application_chosen_lays_out_people_and_capabilities(cast: Cast) -> None:
    write_story(cast)
    matrix = build_matrix(cast.acme, {"application": str(cast.pr_bot.pk)}, {})
    assert (matrix.rows.name, matrix.columns.name) == ("capability", "user")
    states = read(matrix)
    assert states["github:create_issue", "Alice Adams"] == "depends"
    assert states["github:delete_repo", "Alice Adams"] == "deny"
    assert states["github:create_issue", "Bob Brown"] == "deny"
    assert states["github:create_issue", "Nobody"] == "deny"
    assert {name for _, name in states} == {"Nobody", "Alice Adams", "Bob Brown", "Carol Clark"}


def test_build_with_person_chosen_shows_what_is_not_open_to_an_application(cast: Cast) -> None:
    write_story(cast)
    make_application(cast.acme, "Triage")
    states = read(build_matrix(cast.acme, {"user": str(cast.alice.pk)}, {}))
    assert states["github:create_issue", "PR-Bot"] == "depends"
    assert states["github:create_issue", "Triage"] == "closed"


def test_build_with_capability_chosen_lays_out_people_and_applications(cast: Cast) -> None:
    write_story(cast)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    make_rule(cast.acme, "org", "ask", group=cast.engineering, capability="create_issue")
    matrix = build_matrix(cast.acme, {"capability": str(cast.create_issue.pk)}, {})
    assert (matrix.rows.name, matrix.columns.name) == ("user", "application")
    assert read(matrix)["Alice Adams", "PR-Bot"] == "ask"


def test_build_with_two_chosen_is_one_column(cast: Cast) -> None:
    write_story(cast)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    chosen = {"user": str(cast.alice.pk), "application": str(cast.pr_bot.pk)}
    matrix = build_matrix(cast.acme, chosen, {})
    assert (matrix.rows.name, len(matrix.columns.entries)) == ("capability", 1)
    assert list(read(matrix).values()) == ["allow", "deny"]


def test_build_for_nobody_asks_for_the_application_on_its_own(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", application=cast.pr_bot, capability="create_issue")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    matrix = build_matrix(cast.acme, {"user": NOBODY, "application": str(cast.pr_bot.pk)}, {})
    assert [states[0] for states in matrix.states] == ["allow", "deny"]


def test_build_never_shows_another_organizations(cast: Cast) -> None:
    for chosen in ({"user": str(cast.mallory.pk)}, {"application": str(cast.spy_bot.pk)}):
        assert not any(build_matrix(cast.acme, chosen, {}).states)
    names = str(build_matrix(cast.acme, {"application": str(cast.pr_bot.pk)}, {}))
    assert "Mallory" not in names


def test_build_of_200_by_200_is_quick_and_takes_few_queries(cast: Cast, django_assert_max_num_queries: Any) -> None:
    write_story(cast)
    for number in range(200):
        make_capability(cast.github, f"tool_{number:03}")
    people = User.objects.bulk_create(User(name=f"Person {number:03}") for number in range(200))
    Membership.objects.bulk_create(Membership(organization=cast.acme, user=person) for person in people)
    for number in range(100):
        make_rule(cast.acme, "user", "allow", user=people[number], capability=f"tool_{number:03}")
    started = time.process_time()
    with django_assert_max_num_queries(20):
        matrix = build_matrix(cast.acme, {"application": str(cast.pr_bot.pk)}, {})
    assert time.process_time() - started < 10  # two seconds alone; others share the machine
    assert sum(map(len, matrix.states)) == 200 * 201
    assert (matrix.rows.total, matrix.columns.total) == (Capability.objects.count(), Membership.objects.count() - 1)
    second = build_matrix(cast.acme, {"application": str(cast.pr_bot.pk)}, {"user": 2, "capability": 2})
    assert (len(second.rows.entries), len(second.columns.entries)) == (2, 3)
