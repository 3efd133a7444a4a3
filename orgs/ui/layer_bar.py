"""A decision as the layer bar shows it, read from the explanation that policy.engine gives and events keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orgs.ui.status import MARKS

_NAMES = {"org": "Org", "user": "You", "application": "App"}
_LONG_NAMES = {"org": "Organization layer", "user": "User layer", "application": "Application layer"}
# By verdict: the tone (which brings its mark), and the word.
_VERDICTS = {
    "allow": ("allow", "allows"),
    "ask": ("ask", "asks"),
    "deny": ("deny", "denies"),
    "depends": ("ask", "depends"),
    "silent": ("silent", "silent"),
    "absent": ("silent", "no user"),
}
_UNKNOWN = ("silent", "not known")
_EFFECTS = {"allow": "Allowed by every layer.", "ask": "Approval needed.", "deny": "Denied."}


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule in words and, where it only nearly matched, why it did not."""

    sentence: str
    why: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    long_name: str
    mark: str
    word: str
    tone: str
    is_deciding: bool
    baseline: str
    rules: tuple[Reason, ...]
    nearest: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class LayerBar:
    segments: tuple[Segment, ...]
    sentence: str
    effect: str
    fixes: tuple[str, ...]
    version: int | None

    @property
    def has_more(self) -> bool:
        return bool(self.fixes) or any(part.rules or part.nearest or part.baseline for part in self.segments)


def read_layer_bar(explanation: object, *, person: str = "You") -> LayerBar | None:
    """Return what an explanation shows, or None where there is none.

    Events outlive the code that wrote them, so anything that is missing or of another shape is left out, not fatal.
    """
    if not isinstance(explanation, Mapping) or not explanation.get("layers"):
        return None
    effect = str(explanation.get("effect", ""))
    version = explanation.get("version")
    return LayerBar(
        segments=tuple(_read_segments(explanation, person)),
        sentence=str(explanation.get("sentence") or _EFFECTS.get(effect, "")),
        effect=effect,
        fixes=_read_fixes(explanation.get("fix")),
        version=version if isinstance(version, int) else None,
    )


def _read_segments(explanation: Mapping[str, Any], person: str) -> list[Segment]:
    found = dict(_by_layer(explanation["layers"]))
    deciding = explanation.get("deciding")
    return [_read_segment(layer, found.get(layer, {}), layer == deciding, person) for layer in _NAMES]


def _by_layer(layers: object) -> list[tuple[str, Mapping[str, Any]]]:
    """Accept the engine's list of layers, and bare verdicts in the order of the layers."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        return []
    named = []
    for name, layer in zip(_NAMES, layers, strict=False):
        if isinstance(layer, Mapping):
            named.append((str(layer.get("layer", name)), layer))
        else:
            named.append((name, {"verdict": layer}))
    return named


def _read_segment(layer: str, facts: Mapping[str, Any], is_deciding: bool, person: str) -> Segment:
    tone, word = _VERDICTS.get(str(facts.get("verdict", "")), _UNKNOWN)
    return Segment(
        name=person if layer == "user" else _NAMES[layer],
        long_name=_LONG_NAMES[layer],
        mark=MARKS[tone],
        word=word,
        tone=tone,
        is_deciding=is_deciding,
        baseline=str(facts.get("baseline") or ""),
        rules=_read_reasons(facts.get("rules")),
        nearest=_read_reasons(facts.get("nearest")),
    )


def _read_reasons(rules: object) -> tuple[Reason, ...]:
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        return ()
    return tuple(
        Reason(str(rule.get("sentence", "")), str(rule.get("why") or ""), str(rule.get("reason") or ""))
        for rule in rules
        if isinstance(rule, Mapping)
    )


def _read_fixes(fix: object) -> tuple[str, ...]:
    if not isinstance(fix, Mapping):
        return ()
    changes = [change for change in fix.get("changes") or () if isinstance(change, Mapping)]
    return tuple(str(change.get("sentence", "")) for change in changes) or (str(fix.get("sentence", "")),)
