"""Every rule reads as one sentence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from policy.describe import Wording, describe, describe_rule
from tests.factories import Cast, make_rule

CREATE = {"integration": "GitHub", "integration_slug": "github", "capability": "create_issue"}
REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
BOT = {"layer": "application", "application": "PR-Bot", "effect": "allow"}

SENTENCES: dict[str, dict[str, Any]] = {
    "Everyone may use every integration": {"layer": "org", "effect": "allow"},
    "Nobody may use *:delete_*": {"layer": "org", "effect": "deny", "capability": "delete_*"},
    "Everyone may use GitHub to write after approval": {
        "layer": "org",
        "effect": "ask",
        "klass": "write",
        "integration": "GitHub",
        "integration_slug": "github",
    },
    "Engineering may use GitHub": {"layer": "org", "effect": "allow", "group": "Engineering", "integration": "GitHub"},
    "Alice may not use github:create_issue": {"layer": "org", "effect": "deny", "user": "Alice", **CREATE},
    "Alice lets every application use github:create_issue": {
        "layer": "user",
        "effect": "allow",
        "user": "Alice",
        **CREATE,
    },
    "Alice lets no application use github:create_issue": {"layer": "user", "effect": "deny", "user": "Alice", **CREATE},
    "Alice does not let PR-Bot use GitHub": {
        "layer": "user",
        "effect": "deny",
        "user": "Alice",
        "application": "PR-Bot",
        "integration": "GitHub",
    },
    "Alice is asked before PR-Bot uses github:create_issue": {
        "layer": "user",
        "effect": "ask",
        "user": "Alice",
        "application": "PR-Bot",
        **CREATE,
    },
    "Every member of Sales is asked before any application uses GitHub to destroy": {
        "layer": "user",
        "effect": "ask",
        "group": "Sales",
        "integration": "GitHub",
        "klass": "destructive",
    },
    "PR-Bot may use github:create_issue where repo is acme/frontend": {**BOT, **CREATE, "conditions": REPO},
    "PR-Bot may use GitHub unless repo is acme/frontend": {
        **BOT,
        "integration": "GitHub",
        "conditions": {"unless": REPO},
    },
    "PR-Bot may use GitHub where labels has bug or docs and (count is at most 3 or not (draft is true))": {
        **BOT,
        "integration": "GitHub",
        "conditions": {
            "all": [
                {"argument": "labels", "operator": "any_in", "value": ["bug", "docs"]},
                {
                    "any": [
                        {"argument": "count", "operator": "at_most", "value": 3},
                        {"unless": {"argument": "draft", "operator": "equals", "value": True}},
                    ]
                },
            ]
        },
    },
    "PR-Bot may use GitHub where it is Monday to Friday, 09:00 to 17:00 (Europe/Berlin)": {
        **BOT,
        "integration": "GitHub",
        "conditions": {
            "context": "time",
            "zone": "Europe/Berlin",
            "from": "09:00",
            "until": "17:00",
            "days": ["fri", "mon", "tue", "wed", "thu"],
        },
    },
    "PR-Bot may use GitHub where no user is behind the call and the call comes from 10.0.0.0/8": {
        **BOT,
        "integration": "GitHub",
        "conditions": {
            "all": [{"context": "autonomous", "value": True}, {"context": "network", "value": ["10.0.0.0/8"]}]
        },
    },
    "PR-Bot may use GitHub where id is 1, 2, 3, 4, 5 or 4 more": {
        **BOT,
        "integration": "GitHub",
        "conditions": {"argument": "id", "operator": "in", "value": [1, 2, 3, 4, 5, 6, 7, 8, 9]},
    },
    "PR-Bot may use GitHub, from 2026-12-01 08:30 UTC, until 2026-12-24 00:00 UTC": {
        **BOT,
        "integration": "GitHub",
        "valid_from": dt.datetime(2026, 12, 1, 8, 30, tzinfo=dt.UTC),
        "valid_until": dt.datetime(2026, 12, 24, tzinfo=dt.UTC),
    },
    "PR-Bot may use GitHub (recorded, not applied)": {**BOT, "integration": "GitHub", "is_shadow": True},
    "PR-Bot may use GitHub (switched off)": {**BOT, "integration": "GitHub", "is_enabled": False},
    "PR-Bot may use GitHub under conditions that can't be read": {**BOT, "integration": "GitHub", "conditions": {}},
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_describe_as_people_say_it(sentence: str) -> None:
    assert describe(Wording(**SENTENCES[sentence])) == sentence


def test_describe_stored_rule_names_what_it_refers_to(cast: Cast) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, application=cast.pr_bot, integration=cast.github)
    assert describe_rule(rule) == "Alice Adams lets PR-Bot use Github"
