from __future__ import annotations

import pytest

from orgs.errors import say


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("somebody has answered already", "Somebody has answered already."),
        ("GitHub's token can't be renewed", "GitHub's token can't be renewed."),
        ("", "."),
    ],
)
def test_say_error_makes_a_sentence_of_it(text: str, sentence: str) -> None:
    assert say(ValueError(text)) == sentence
