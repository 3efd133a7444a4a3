"""What this floor's services refuse, other than invalid fields. `code` is what an API client sees."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied


class NotAllowedToAuthorError(PermissionDenied):
    """The person may not write rules in this layer, or about these people or this application."""

    code = "kontext_forbidden"


class DocumentError(Exception):
    """A document of rules, or of tests, that can't be taken as it is. `problems` names each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NotAllowedToAnswerError(PermissionDenied):
    """The person may not answer for the layer that asks, or that is asked for a rule."""

    code = "kontext_forbidden"


class SettledError(Exception):
    """Somebody has answered already, or nobody can any more."""

    code = "kontext_settled"


class ApprovalImpossibleError(Exception):
    """What the rules ask about can't be put before anybody. `reason` is too_large, bad_name, too_many, or busy."""

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class ApprovalDeniedError(Exception):
    """Somebody has lately refused this very call. `answer` is why, in their words; perhaps empty."""

    def __init__(self, text: str, *, answer: str, layer: str) -> None:
        super().__init__(text)
        self.answer = answer
        self.layer = layer
