"""Past calls decided by other rules: what flips, what stays, and what can't be told is said to be so."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEvent
from connections.models import Capability
from orgs.models import GroupMembership, SnapshotVersion
from policy.documents import read_document
from policy.errors import DocumentError
from policy.models import Rule
from policy.replay import Replay
from policy.services.replay import replay
from policy.services.simulate import simulate
from tests.factories import Cast, make_application, make_call, make_rule

MONTH = dt.timedelta(days=30)
FRONTEND = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
DOCUMENT = """
rules:
  - {layer: org, effect: allow, group: Engineering, integration: github}
  - {layer: application, effect: allow, application: PR-Bot, integration: github,
     conditions: {argument: repo, operator: equals, value: acme/frontend}}
"""


@pytest.fixture
def rules(cast: Cast) -> dict[str, Rule]:
    """The story's rules, there for longer than the calls."""
    rules = {
        "org": make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github),
        "user": make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github),
        "application": make_rule(
            cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github, conditions=FRONTEND
        ),
    }
    Rule.objects.update(updated_at=timezone.now() - MONTH)
    GroupMembership.objects.update(created_at=timezone.now() - MONTH)
    return rules


def happen(cast: Cast, capability: Capability, repo: str = "acme/frontend", **facts: Any) -> AuditEvent:
    """Record a call as the gateway does: decided by the rules of the moment."""
    user = facts.pop("user", cast.alice)
    decision = simulate(
        organization=cast.acme,
        user=user,
        application=cast.pr_bot,
        capability=capability,
        arguments={"repo": repo},
        now=timezone.now() - facts.get("ago", dt.timedelta()),
        source_address=facts.get("source_address", ""),
    )
    outcome = "ok" if decision.is_allowed else "denied"
    facts["details"] = {"method": "tools/call"}
    return make_call(cast.pr_bot, user, capability, outcome, decision=decision.explain(), **facts)


def run(cast: Cast, text: str | None = None, **options: Any) -> Replay:
    document = None if text is None else read_document(cast.acme, text)
    return replay(organization=cast.acme, document=document, since=timezone.now() - MONTH, **options)


def lines(tallies: Any) -> list[tuple[str, str, str, str, str, int]]:
    return [
        (flip.user_name, flip.application_name, flip.target, flip.was, flip.becomes, tally.count)
        for flip, tally in tallies
    ]


def test_replay_of_the_same_rules_flips_nothing(cast: Cast, rules: dict[str, Rule]) -> None:
    for repo in ("acme/frontend", "acme/backend", "acme/frontend"):
        happen(cast, cast.create_issue, repo)
    for found in (run(cast), run(cast, DOCUMENT)):
        assert (found.total, found.same, found.flipped, found.open, found.undecided) == (3, 3, 0, 0, 0)


def test_replay_lists_each_flip_by_person_and_application(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue)
    last = happen(cast, cast.create_issue)
    happen(cast, cast.create_issue, "acme/backend")  # denied anyway
    happen(cast, cast.delete_repo)
    found = run(cast, DOCUMENT + "  - {layer: org, effect: deny, capability: create_*}\n")
    assert lines(found.sorted_flips) == [("Alice Adams", "PR-Bot", "github:create_issue", "allow", "deny", 2)]
    assert found.sorted_flips[0][1].event == str(last.pk)
    assert (found.total, found.same, found.open) == (4, 2, 0)


def test_replay_tells_an_ask_from_a_denial(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.delete_repo)
    found = run(cast, DOCUMENT + "  - {layer: org, effect: ask, class: destructive}\n")
    assert lines(found.sorted_flips) == [("Alice Adams", "PR-Bot", "github:delete_repo", "allow", "ask", 1)]


def test_replay_where_unknown_arguments_decide_does_not_guess(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue, "acme/frontend")
    happen(cast, cast.create_issue, "acme/backend")
    found = run(cast, DOCUMENT.replace("acme/frontend", "acme/web"))
    assert found.flipped == found.same == 0
    assert lines(found.sorted_untold) == [
        ("Alice Adams", "PR-Bot", "github:create_issue", "allow", "", 1),
        ("Alice Adams", "PR-Bot", "github:create_issue", "deny", "", 1),
    ]


def test_replay_knows_what_unchanged_rules_did_with_the_same_call(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue, "acme/frontend")
    happen(cast, cast.create_issue, "acme/backend")
    # Another rule lets more in: the one call was allowed and stays so; of the other nobody knows the repository.
    more = (
        "  - {layer: application, effect: allow, application: PR-Bot, conditions: {argument: repo, operator: exists}}\n"
    )
    found = run(cast, DOCUMENT + more)
    assert (found.same, found.flipped, found.open) == (1, 0, 1)
    everything = "  - {layer: application, effect: allow, application: PR-Bot}\n"
    found = run(cast, DOCUMENT + everything)
    assert lines(found.sorted_flips) == [("Alice Adams", "PR-Bot", "github:create_issue", "deny", "allow", 1)]


def test_replay_of_a_rule_that_changed_since_believes_nothing_it_did(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue, "acme/frontend", ago=dt.timedelta(days=2))
    Rule.objects.filter(pk=rules["application"].pk).update(updated_at=timezone.now() - dt.timedelta(days=1))
    assert run(cast, DOCUMENT).open == 1
    happen(cast, cast.create_issue, "acme/frontend")
    found = run(cast, DOCUMENT)
    assert (found.same, found.open) == (1, 1)


def test_replay_of_a_rule_for_a_group_entered_since_concludes_nothing(cast: Cast, rules: dict[str, Rule]) -> None:
    """That the rule was not named then doesn't mean that its condition failed: it was not about her."""
    sales_rule = make_rule(cast.acme, "org", "deny", group=cast.sales, conditions=FRONTEND)
    Rule.objects.filter(pk=sales_rule.pk).update(updated_at=timezone.now() - MONTH)
    happen(cast, cast.create_issue, "acme/frontend", ago=dt.timedelta(days=2))
    assert run(cast).same == 1
    GroupMembership.objects.create(organization=cast.acme, group=cast.sales, user=cast.alice)
    assert run(cast).open == 1


def test_replay_looks_at_when_and_from_where_calls_came(cast: Cast, rules: dict[str, Rule]) -> None:
    for address in ("10.0.0.1", "192.0.2.1"):
        happen(cast, cast.create_issue, source_address=address)
    network = '{context: network, value: ["10.0.0.0/8"]}'
    found = run(cast, DOCUMENT + f"  - {{layer: org, effect: deny, conditions: {network}}}\n")
    assert (found.flipped, found.same) == (1, 1)
    hour = (timezone.now() - dt.timedelta(hours=1)).isoformat()
    found = run(cast, DOCUMENT + f"  - {{layer: org, effect: deny, until: {hour}}}\n")
    assert (found.flipped, found.same) == (0, 2)
    today = timezone.now().strftime("%a").lower()
    found = run(cast, DOCUMENT + f"  - {{layer: org, effect: deny, conditions: {{context: time, zone: UTC, days: [{today}]}}}}\n")  # fmt: skip # noqa: E501
    assert found.flipped == 2


def test_replay_leaves_out_what_no_rule_decided_and_other_organizations(cast: Cast, rules: dict[str, Rule]) -> None:
    make_call(cast.pr_bot, cast.alice, cast.create_issue, "error_auth")
    happen(cast, cast.create_issue, ago=dt.timedelta(days=60))
    found = run(cast)
    assert (found.total, found.undecided, found.same) == (1, 1, 0)
    assert replay(organization=cast.globex, document=None, since=timezone.now() - MONTH).total == 0


def test_replay_changes_and_records_nothing(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue)
    before = (list(Rule.objects.values()), AuditEvent.objects.count(), SnapshotVersion.objects.get(pk=cast.acme.pk))
    run(cast, "rules: []\n")
    after = (list(Rule.objects.values()), AuditEvent.objects.count(), SnapshotVersion.objects.get(pk=cast.acme.pk))
    assert before == after
    assert before[2].version == after[2].version


def test_replay_shows_how_far_it_is(cast: Cast, rules: dict[str, Rule]) -> None:
    for _ in range(3):
        happen(cast, cast.create_issue)
    seen: list[tuple[int, int]] = []
    run(cast, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (3, 3)]


# The command


@pytest.fixture
def draft(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(DOCUMENT + "  - {layer: org, effect: deny, capability: create_*}\n")
    return str(path)


def command(*arguments: str) -> str:
    output = StringIO()
    call_command("policy", "replay", "--organization", "acme", *arguments, stdout=output)
    return output.getvalue()


def test_command_lists_flips_and_sums_up(cast: Cast, rules: dict[str, Rule], draft: str) -> None:
    happen(cast, cast.create_issue)
    happen(cast, cast.delete_repo)
    output = command("--file", draft)
    assert "github:create_issue" in output
    assert "allow → deny" in output
    assert "2 calls: 1 as before, 1 would flip, 0 can't be told" in output


def test_command_prints_json(cast: Cast, rules: dict[str, Rule], draft: str) -> None:
    event = happen(cast, cast.create_issue)
    found = json.loads(command("--file", draft, "--json", "--days", "7"))
    assert found["total"] == 1
    assert found["flips"] == [
        {
            "user": {"id": str(cast.alice.pk), "name": "Alice Adams"},
            "application": {"id": str(cast.pr_bot.pk), "name": "PR-Bot"},
            "capability": "github:create_issue",
            "was": "allow",
            "becomes": "deny",
            "count": 1,
            "lastEvent": str(event.pk),
        }
    ]


def test_command_without_a_file_replays_the_stored_rules(cast: Cast, rules: dict[str, Rule]) -> None:
    happen(cast, cast.create_issue)
    make_rule(cast.acme, "org", "deny")
    assert "1 would flip" in command()


def test_command_with_a_bad_draft_says_where(cast: Cast, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - {layer: org, effect: perhaps}\n")
    with pytest.raises(CommandError, match="nothing was changed"):
        command("--file", str(path))
    for days in ("0", "-1", "4000"):
        with pytest.raises(CommandError, match="--days"):
            command("--days", days)


def test_replay_with_rules_that_could_not_be_stored_is_refused(cast: Cast) -> None:
    with pytest.raises(DocumentError):
        run(cast, "rules:\n  - {layer: application, effect: allow}\n")
    assert make_application(cast.acme, "Other").name == "Other"  # the transaction is still good
