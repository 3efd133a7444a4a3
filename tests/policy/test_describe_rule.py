"""Every rule reads as one sentence."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.describe import Wording, describe, describe_rule
from policy.engine import Limit, Per, Period
from tests.factories import Cast, make_rule
from tests.policy.strategies import conditions

CREATE = {"integration": "GitHub", "integration_slug": "github", "capability": "create_issue"}
REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
BOT = {"layer": "application", "application": "PR-Bot", "effect": "allow"}

SENTENCES: dict[str, dict[str, Any]] = {
    "Everyone may use every integration": {"layer": "org", "effect": "allow"},
    "Nobody may use delete_* in any integration": {"layer": "org", "effect": "deny", "capability": "delete_*"},
    "PR-Bot may not use any integration": {"layer": "application", "effect": "deny", "application": "PR-Bot"},
    "PR-Bot may use github:create_* (only what writes)": {
        **BOT,
        "integration": "GitHub",
        "integration_slug": "github",
        "capability": "create_*",
        "klass": "write",
    },
    "Alice lets PR-Bot read in every integration": {
        "layer": "user",
        "effect": "allow",
        "user": "Alice",
        "application": "PR-Bot",
        "klass": "read",
    },
    "Alice lets PR-Bot destroy things in GitHub": {
        "layer": "user",
        "effect": "allow",
        "user": "Alice",
        "application": "PR-Bot",
        "klass": "destructive",
        "integration": "GitHub",
    },
    "Everyone needs approval to write in GitHub": {
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
    "Every member of Sales is asked before any application destroys anything in GitHub": {
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
    "PR-Bot may use GitHub where repo is acme/frontend": {
        **BOT,
        "integration": "GitHub",
        "conditions": {"unless": {"unless": {"all": [REPO]}}},
    },
    "PR-Bot may use GitHub where labels has bug or docs and (count is at most 3 or draft is not true)": {
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
    "PR-Bot may use GitHub where it is 09:00 to 17:00 (UTC) and it is not Saturday or Sunday (UTC)": {
        **BOT,
        "integration": "GitHub",
        "conditions": {
            "all": [
                {"context": "time", "zone": "UTC", "from": "09:00", "until": "17:00"},
                {"unless": {"context": "time", "zone": "UTC", "days": ["sat", "sun"]}},
            ]
        },
    },
    "PR-Bot may use GitHub where labels has something other than bug and none of this holds: (a is 1 or b is given)": {
        **BOT,
        "integration": "GitHub",
        "conditions": {
            "all": [
                {"unless": {"argument": "labels", "operator": "all_in", "value": ["bug"]}},
                {
                    "unless": {
                        "any": [
                            {"argument": "a", "operator": "equals", "value": 1},
                            {"argument": "b", "operator": "exists"},
                        ]
                    }
                },
            ]
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
    "PR-Bot may use github:create_issue where repo is acme/frontend, at most 20 times an hour": {
        **BOT,
        **CREATE,
        "conditions": REPO,
        "limit": Limit(count=20, period=Period.HOUR, per=Per.RULE),
    },
    "Everyone may write in GitHub, at most once a day for each person, until 2026-12-24 00:00 UTC": {
        "layer": "org",
        "effect": "allow",
        "integration": "GitHub",
        "klass": "write",
        "limit": Limit(count=1, period=Period.DAY, per=Per.USER),
        "valid_until": dt.datetime(2026, 12, 24, tzinfo=dt.UTC),
    },
    "PR-Bot may use GitHub (recorded, not applied)": {**BOT, "integration": "GitHub", "is_shadow": True},
    "PR-Bot may use GitHub (switched off)": {**BOT, "integration": "GitHub", "is_enabled": False},
    "PR-Bot may use GitHub under conditions that can't be read": {**BOT, "integration": "GitHub", "conditions": {}},
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_describe_as_people_say_it(sentence: str) -> None:
    assert describe(Wording(**SENTENCES[sentence])) == sentence


# What a sentence may look like. Names stand for themselves, so that nothing but the frame is left to chance.
_PLACE = r"(GitHub|every integration|any integration)"
_BASE = rf"(use {_PLACE}|read in {_PLACE}|write in {_PLACE}|destroy (things|anything) in {_PLACE}|use {{named}})"
_THIRD = rf"(uses {_PLACE}|reads in {_PLACE}|writes in {_PLACE}|destroys anything in {_PLACE}|uses {{named}})"
_NAMED = rf"(github:create_\*|create_\* in {_PLACE})( \(only what (reads|writes|destroys)\))?"
_SUBJECT = r"(Alice|Sales|PR-Bot)"
_PERSON = r"(Alice|Every member of Sales)"
_FORMS = (
    rf"({_SUBJECT}|Everyone) may {_BASE}",
    rf"({_SUBJECT} may not|Nobody may) {_BASE}",
    rf"({_SUBJECT}|Everyone) needs approval to {_BASE}",
    rf"{_PERSON} lets (PR-Bot|every application|no application) {_BASE}",
    rf"{_PERSON} does not let PR-Bot {_BASE}",
    rf"{_PERSON} is asked before (PR-Bot|any application) {_THIRD}",
)
_REST = (
    r"(( where | unless )[^ ].*?[^ ])?"
    r"(, at most (once|20 times) (a minute|an hour|a day)( for each (application|person))?)?"
    r"(, from [-0-9: ]+ UTC)?(, until [-0-9: ]+ UTC)?"
    r"( \((switched off|recorded, not applied)\))?"
)
_SENTENCE = re.compile(f"({'|'.join(_FORMS)}){_REST}".replace("{named}", _NAMED))

_MOMENTS = st.sampled_from([None, dt.datetime(2026, 12, 1, 8, 30, tzinfo=dt.UTC)])

_LIMITS = st.builds(Limit, count=st.sampled_from([1, 20]), period=st.sampled_from(Period), per=st.sampled_from(Per))


@st.composite
def wordings(draw: st.DrawFn) -> Wording:
    layer = draw(st.sampled_from(["org", "user", "application"]))
    subject = {
        "org": [{}, {"user": "Alice"}, {"group": "Sales"}, {"application": "PR-Bot"}],
        "user": [
            {"user": "Alice"},
            {"group": "Sales"},
            {"user": "Alice", "application": "PR-Bot"},
            {"group": "Sales", "application": "PR-Bot"},
        ],
        "application": [{"application": "PR-Bot"}],
    }
    where: list[dict[str, Any]] = [{}, {"integration": "GitHub", "integration_slug": "github"}]
    fields: dict[str, Any] = {**draw(st.sampled_from(subject[layer])), **draw(st.sampled_from(where))}
    return Wording(
        layer=layer,
        effect=draw(st.sampled_from(["allow", "deny", "ask"])),
        capability=draw(st.sampled_from(["", "create_*"])),
        klass=draw(st.sampled_from(["", "read", "write", "destructive"])),
        conditions=draw(st.none() | conditions),
        valid_from=draw(_MOMENTS),
        valid_until=draw(_MOMENTS),
        is_shadow=draw(st.booleans()),
        is_enabled=draw(st.booleans()),
        limit=draw(st.none() | _LIMITS),
        **fields,
    )


@settings(max_examples=400, deadline=None)
@given(wordings())
def test_describe_any_shape_is_a_sentence(wording: Wording) -> None:
    # What conditions compare with may hold line breaks: those are the rule's own.
    sentence = describe(wording).replace("\n", "¶")
    assert _SENTENCE.fullmatch(sentence), sentence
    assert "every integration" not in sentence or wording.effect == "allow"
    assert not re.search(r"\b(not|unless) not\b|not \(|  ", sentence), sentence


def test_describe_stored_rule_names_what_it_refers_to(cast: Cast) -> None:
    rule = make_rule(cast.acme, "user", "allow", user=cast.alice, application=cast.pr_bot, integration=cast.github)
    assert describe_rule(rule) == "Alice Adams lets PR-Bot use Github"
