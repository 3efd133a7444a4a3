"""Rules as a file: exported, compared, imported and tested, by name and all or nothing."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import cedarpy
import pytest
import yaml
from django.core.management import CommandError, call_command

from audit.models import AuditEvent
from policy.models import Baseline, Rule
from tests.factories import Cast, make_application, make_rule

REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


@pytest.fixture
def story(cast: Cast) -> Cast:
    """Acme with the rules of the story, Alice's own among them."""
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github, reason="Engineers build")
    make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github, conditions=REPO)
    Baseline.objects.create(organization=cast.acme, layer="user", effect="ask")
    make_rule(cast.globex, "org", "allow")
    return cast


def run(action: str, *options: str, organization: str = "acme") -> str:
    output = io.StringIO()
    call_command("policy", action, "--organization", organization, *options, stdout=output)
    return output.getvalue()


def write(folder: Path, data: Any, name: str = "rules.yaml") -> str:
    path = folder / name
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return str(path)


def test_export_names_things_and_leaves_personal_rules_out(story: Cast) -> None:
    text = run("export")
    assert yaml.safe_load(text) == {
        "baselines": {"user": "ask"},
        "rules": [
            {
                "layer": "application",
                "effect": "allow",
                "application": "PR-Bot",
                "integration": "github",
                "conditions": REPO,
            },
            {
                "layer": "org",
                "effect": "allow",
                "group": "Engineering",
                "integration": "github",
                "reason": "Engineers build",
            },
        ],
    }
    assert "# PR-Bot may use Github where repo is acme/frontend" in text
    assert "Alice" not in text


def test_import_of_an_export_changes_nothing(story: Cast, tmp_path: Path) -> None:
    file = write(tmp_path, run("export"))
    before = set(Rule.objects.values_list("id", "updated_at"))
    assert run("diff", "--file", file) == run("import", "--file", file).replace("changed", "different")
    assert set(Rule.objects.values_list("id", "updated_at")) == before
    assert not AuditEvent.objects.exists()


def test_import_creates_changes_and_deletes_and_records_each(story: Cast, tmp_path: Path) -> None:
    data = yaml.safe_load(run("export"))
    application = data["rules"][0]
    application["conditions"] = {**REPO, "value": "acme/backend"}
    new = {"layer": "user", "effect": "deny", "group": "Sales", "class": "destructive", "mode": "shadow"}
    file = write(tmp_path, {"rules": [application, new]})
    changed = Rule.objects.get(layer="application")

    dry = run("import", "--dry-run", "--file", file)
    assert Rule.objects.filter(group=story.engineering).exists()
    with pytest.raises(SystemExit, match="1"):
        run("diff", "--file", file)
    said = run("import", "--file", file)

    assert dry.replace("would be changed", "changed") == said
    assert said.splitlines() == [
        "~ baseline of the user layer: ask → none",
        "- Engineering may use Github",
        f"~ PR-Bot may use Github where repo is acme/backend  [conditions: {json.dumps(REPO)} → "
        f"{json.dumps(application['conditions'])}]",
        "    ! By itself it lets nothing happen: all three layers must allow a call, and in the organization layer no "
        "rule allows any of this. An administrator could add one.",
        "+ Every member of Sales lets no application destroy anything in any integration (recorded, not applied)",
        "changed: 4",
    ]
    changed.refresh_from_db()
    assert changed.conditions == application["conditions"]
    assert not Rule.objects.filter(group=story.engineering).exists()
    assert Rule.objects.get(group=story.sales).mode == "shadow"
    assert Rule.objects.filter(user=story.alice).exists()
    types = sorted(AuditEvent.objects.values_list("type", flat=True))
    assert types == ["baseline.changed", "rule.changed", "rule.created", "rule.deleted"]
    assert set(AuditEvent.objects.values_list("user_name", flat=True)) == {"manage.py policy import"}
    assert run("import", "--file", file) == "changed: nothing\n"


def test_import_into_another_organization_means_its_own_things(story: Cast, tmp_path: Path) -> None:
    file = write(tmp_path, {"rules": [{"layer": "org", "effect": "deny", "integration": "github"}]})
    run("import", "--file", file, organization="globex")
    rule = Rule.objects.get(organization=story.globex)
    assert (rule.effect, rule.integration) == ("deny", story.globex_github)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("rules: [", "this is not YAML"),
        ("rules: []\nrules: []", "the key 'rules' is there twice"),
        ("just a text", "the document is a mapping"),
        ({}, "rules: this is a list"),
        ({"rules": [], "rule": []}, "unknown key 'rule'"),
        ({"rules": ["allow"]}, "rules[0]: a rule is a mapping"),
        ({"rules": [{"layer": "org", "effect": "allow", "when": {}}]}, "rules[0]: unknown key 'when'"),
        ({"rules": [{"layer": "org", "effect": "perhaps"}]}, "rules[0].effect"),
        ({"rules": [{"layer": "org", "effect": True}]}, "rules[0].effect: this is a text; quote it"),
        ({"rules": [{"layer": "org"}]}, "rules[0].effect"),
        ({"rules": [{"layer": "org", "effect": "allow", "group": "Spies"}]}, "rules[0].group: the organization has no"),
        ({"rules": [{"layer": "org", "effect": "allow", "user": "mallory@globex.test"}]}, "has no user"),
        ({"rules": [{"layer": "application", "effect": "allow", "application": "Spy-Bot"}]}, "has no application"),
        ({"rules": [{"layer": "application", "effect": "allow", "application": "Twin"}]}, "write its client ID"),
        ({"rules": [{"layer": "user", "effect": "allow", "user": "alice@acme.test"}]}, "is not in documents"),
        ({"rules": [{"layer": "org", "effect": "allow", "conditions": {"any": []}}]}, "rules[0].conditions"),
        ({"rules": [{"layer": "org", "effect": "allow", "from": "soon"}]}, "rules[0].from: a time is written as"),
        ({"rules": [{"layer": "org", "effect": "allow", "enabled": "no"}]}, "rules[0].enabled: this is true or false"),
        ({"rules": [], "baselines": {"org": "perhaps"}}, "baselines.org"),
        ({"rules": [], "baselines": ["org"]}, "baselines: this is a mapping"),
    ],
)
def test_import_of_what_makes_no_sense_names_the_place_and_changes_nothing(
    story: Cast, tmp_path: Path, data: Any, problem: str
) -> None:
    make_application(story.acme, "Twin")
    make_application(story.acme, "Twin")
    before = set(Rule.objects.values_list("id", "updated_at"))
    with pytest.raises(CommandError) as refused:
        run("import", "--file", write(tmp_path, data))
    assert problem in str(refused.value)
    assert set(Rule.objects.values_list("id", "updated_at")) == before
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("options", [[], ["--file", "/nowhere/rules.yaml"]])
def test_import_without_a_file_to_read_says_so(cast: Cast, options: list[str]) -> None:
    with pytest.raises(CommandError, match=r"give --file|can't read /nowhere/rules\.yaml"):
        run("import", *options)


def test_command_for_an_unknown_organization_says_so(db: None) -> None:
    with pytest.raises(CommandError, match="there is no organization 'nowhere'"):
        run("export", organization="nowhere")


TESTS = {
    "tests": [
        {
            "name": "its repository",
            "user": "alice@acme.test",
            "application": "PR-Bot",
            "capability": "github:create_issue",
            "arguments": {"repo": "acme/frontend"},
            "expect": "allow",
        },
        {
            "name": "another repository",
            "user": "alice@acme.test",
            "application": "PR-Bot",
            "capability": "github:create_issue",
            "arguments": {"repo": "acme/backend"},
            "expect": "deny",
            "layer": "application",
        },
        {
            "name": "alone",
            "application": "PR-Bot",
            "capability": "github:create_issue",
            "arguments": {"repo": "acme/frontend"},
            "expect": "deny",
            "layer": "org",
        },
        {
            "name": "as an engineer",
            "user": "bob@acme.test",
            "groups": ["Engineering"],
            "application": "PR-Bot",
            "capability": "github:get_issue",
            "arguments": {"repo": "acme/frontend"},
            "expect": "ask",
        },
    ]
}


def test_test_tells_whether_the_rules_decide_as_expected(story: Cast, tmp_path: Path) -> None:
    file = write(tmp_path, TESTS)
    assert "4 of 4 decisions are as expected" in run("test", "--file", file)
    Rule.objects.filter(layer="application").update(conditions=None)
    output = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("policy", "test", "--organization", "acme", "--file", file, "--json", stdout=output)
    result = json.loads(output.getvalue())
    assert result["failed"] == 1
    assert result["tests"][1]["problem"] == "expected deny, but it is allow"


def test_test_of_other_rules_leaves_the_stored_ones_alone(story: Cast, tmp_path: Path) -> None:
    rules = write(tmp_path, {"rules": [{"layer": "org", "effect": "deny", "reason": "Closed"}]})
    before = set(Rule.objects.values_list("id", "updated_at"))
    output = io.StringIO()
    with pytest.raises(SystemExit):
        call_command(
            *("policy", "test", "--organization", "acme", "--rules", rules),
            *("--file", write(tmp_path, TESTS, "tests.yaml")),
            stdout=output,
        )
    assert "✕ its repository: expected allow, but it is deny. Denied by the organization layer: Closed." in (
        output.getvalue()
    )
    assert set(Rule.objects.values_list("id", "updated_at")) == before
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"expect": "yes"}, "tests[0].expect"),
        ({"layer": "roof"}, "tests[0].layer"),
        ({"capability": "github"}, "tests[0].capability"),
        ({"capability": "gitlab:create_issue"}, "tests[0].integration: the organization has no"),
        ({"application": None}, "tests[0].application"),
        ({"user": "mallory@globex.test"}, "tests[0].user"),
        ({"groups": ["Spies"]}, "tests[0].group"),
        ({"arguments": []}, "tests[0].arguments"),
        ({"at": "noon"}, "tests[0].at"),
        ({"argument": {}}, "unknown key 'argument'"),
    ],
)
def test_test_of_what_makes_no_sense_names_the_place(
    story: Cast, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CommandError) as refused:
        run("test", "--file", write(tmp_path, {"tests": [{**TESTS["tests"][0], **change}]}))
    assert problem in str(refused.value)


def test_export_as_cedar_is_cedar(story: Cast) -> None:
    text = run("export", "--cedar")
    assert len(cedarpy.PolicySet.from_str(text)) == 5
    assert '@sentence("PR-Bot may use Github where repo is acme/frontend")' in text


def test_import_and_export_carry_limits(story: Cast, tmp_path: Path) -> None:
    rule = {"layer": "org", "effect": "allow", "limit": {"count": 20, "period": "hour", "per": "application"}}
    file = write(tmp_path, {"rules": [rule]})
    assert "+ Everyone may use every integration, at most 20 times an hour for each application" in run(
        "import", "--file", file
    )
    stored = Rule.objects.get(layer="org", organization=story.acme)
    assert (stored.limit_count, stored.limit_period, stored.limit_per) == (20, "hour", "application")
    assert yaml.safe_load(run("export"))["rules"] == [rule]
    assert run("import", "--file", file) == "changed: nothing\n"
    for wrong, problem in (
        (20, "rules[0].limit: a limit is a mapping"),
        ({"count": "many"}, "rules[0].limit.count: this is a whole number"),
        ({"count": 1, "times": 1}, "unknown key 'times'"),
        ({"count": 1}, "rules[0].limit_period: A limit says how often"),
    ):
        with pytest.raises(CommandError, match=re.escape(problem)):
            run("import", "--file", write(tmp_path, {"rules": [{**rule, "limit": wrong}]}))
