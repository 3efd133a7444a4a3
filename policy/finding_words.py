"""What the analysis found, as sentences that say what it means and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from policy import engine
from policy.engine.analysis import Finding, Kind
from policy.engine.explain import LAYER_NAMES
from policy.models import Rule

Describe = Callable[[engine.Rule], str]


def say_finding(rule: Rule, finding: Finding, describe: Describe) -> str:
    """Return the sentences of a finding about `rule`; `describe` makes those of the rules that it names."""
    return _SENTENCES[finding.kind](rule, finding, describe)


def _name(finding: Finding, describe: Describe) -> str:
    assert finding.by is not None
    return f"“{describe(finding.by)}”"


def _say_outweighed(rule: Rule, finding: Finding, describe: Describe) -> str:
    assert finding.by is not None
    does = "refuses" if finding.by.effect is engine.Effect.DENY else "asks about"
    return (
        f"It changes nothing: {_name(finding, describe)} {does} every call that it is about, and in one layer a deny "
        "outweighs an ask, and an ask an allow. Change that rule, or leave this one out."
    )


def _say_blocked(rule: Rule, finding: Finding, describe: Describe) -> str:
    assert finding.layer is not None
    return (
        f"It changes nothing: in the {LAYER_NAMES[finding.layer]} layer, {_name(finding, describe)} refuses every call "
        f"that it is about. {_name_authors(rule, finding.layer)} could change that."
    )


def _say_unanswered(rule: Rule, finding: Finding, describe: Describe) -> str:
    assert finding.layer is not None
    return (
        f"By itself it lets nothing happen: all three layers must allow a call, and in the "
        f"{LAYER_NAMES[finding.layer]} layer no rule allows any of this. "
        f"{_name_authors(rule, finding.layer)} could add one."
    )


def _name_authors(rule: Rule, layer: engine.Layer) -> str:
    if layer is engine.Layer.ORG:
        return "An administrator"
    if layer is engine.Layer.APPLICATION:
        return f"The owner of {rule.application or 'each application'} or an administrator"
    return f"{rule.user}, under My rules," if rule.user is not None else "The people it is about, under My rules,"


_SENTENCES: Mapping[Kind, Callable[[Rule, Finding, Describe], str]] = {
    Kind.UNREADABLE: lambda rule, finding, describe: (
        "Its conditions can't be read, so as an allow it never matches, and as anything else always. Write them anew."
    ),
    Kind.EXPIRED: lambda rule, finding, describe: (
        "It has ended, so it matches no call. Give it a later end, or leave it out."
    ),
    Kind.NEVER_MATCHES: lambda rule, finding, describe: (
        "No call can meet all its conditions at once, so it never matches. Perhaps “any” was meant where it says “all”."
    ),
    Kind.ONLY_WITH_USER: lambda rule, finding, describe: (
        "It is for calls without a user, but here it only sees calls that have one, so it never matches. Write it in "
        "the organization's layer for the application, or leave that condition out."
    ),
    Kind.ONLY_WHAT_ERRS: lambda rule, finding, describe: (
        f"No call can meet all its conditions at once: it only {'refuses' if rule.effect == 'deny' else 'asks about'} "
        "calls in which what they test is missing or of another type. Perhaps “any” was meant where it says “all”."
    ),
    Kind.DUPLICATE: lambda rule, finding, describe: (
        f"It changes nothing: {_name(finding, describe)} is there already and means the same. One of the two is enough."
    ),
    Kind.COVERED: lambda rule, finding, describe: (
        f"It changes nothing: {_name(finding, describe)} says all of it and more. Leave this one out, or narrow "
        "that one."
    ),
    Kind.OUTWEIGHED: _say_outweighed,
    Kind.BLOCKED: _say_blocked,
    Kind.UNANSWERED: _say_unanswered,
    Kind.OUTWEIGHS: lambda rule, finding, describe: (
        f"Because of it, {_name(finding, describe)} changes nothing any more. Delete that one, or narrow this one."
    ),
}
