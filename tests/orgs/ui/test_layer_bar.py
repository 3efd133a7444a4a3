from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template

from orgs.ui.layer_bar import read_layer_bar

DENIED: dict[str, Any] = {
    "effect": "deny",
    "version": 7,
    "deciding": "application",
    "sentence": "Denied by the application layer: PR-Bot may use acme/frontend only.",
    "layers": [
        {"layer": "org", "verdict": "allow", "baseline": None, "rules": [{"sentence": "Org rule"}], "nearest": []},
        {"layer": "user", "verdict": "allow", "baseline": "allow", "rules": [], "nearest": []},
        {
            "layer": "application",
            "verdict": "silent",
            "baseline": None,
            "rules": [],
            "nearest": [{"sentence": "Near rule", "why": "<b>not</b> this repo"}],
        },
    ],
    "fix": {"sentence": "All.", "changes": [{"sentence": "The owner could add a rule."}]},
}


def render(explanation: object) -> str:
    template = Template("{% load kontext_ui %}{% layer_bar explanation %}")
    return template.render(Context({"explanation": explanation}))


def test_read_layer_bar_outlines_only_the_deciding_layer() -> None:
    bar = read_layer_bar(DENIED)
    assert bar is not None
    assert [(part.name, part.word, part.is_deciding) for part in bar.segments] == [
        ("Org", "allows", False),
        ("You", "allows", False),
        ("App", "silent", True),
    ]
    assert bar.fixes == ("The owner could add a rule.",)


def test_layer_bar_says_everything_in_words_and_escapes_rules() -> None:
    page = render(DENIED)
    for words in ("Denied by the application layer", "Org rule", "baseline here is to allow", "The owner could add"):
        assert words in page
    assert "&lt;b&gt;not&lt;/b&gt;" in page
    assert "<b>not</b>" not in page
    assert "style=" not in page


@pytest.mark.parametrize("explanation", [None, {}, [], "deny", {"layers": None}, {"layers": []}])
def test_layer_bar_without_explanation_shows_nothing(explanation: object) -> None:
    assert render(explanation).strip() == ""


@pytest.mark.parametrize(
    "explanation",
    [
        {"layers": ["allow", "allow", "deny"], "effect": "deny"},
        {"layers": [{"verdict": "new-word"}], "effect": "deny", "fix": "text"},
        {"layers": [{"layer": "user", "rules": "text", "nearest": [1]}], "effect": "allow"},
        {"layers": "allow", "version": "x"},
    ],
)
def test_layer_bar_of_unfamiliar_shape_still_shows_three_segments(explanation: object) -> None:
    assert render(explanation).count('class="segment ') == 3
