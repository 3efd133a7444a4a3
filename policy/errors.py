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
