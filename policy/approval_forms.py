"""Yes and no to a call, and to a request for a rule."""

from __future__ import annotations

from typing import Any

from django import forms

from policy.approvals import LIFETIME_NAMES, describe_answer_rule
from policy.models import Approval

_Scope = Approval.Scope
_LASTING = (_Scope.ARGUMENTS, _Scope.PERIOD)


class ApproveForm(forms.Form):
    scope = forms.ChoiceField(
        label="How far your yes goes", widget=forms.RadioSelect, error_messages={"required": "Choose how far it goes."}
    )
    lifetime = forms.ChoiceField(
        label="For how long",
        required=False,
        choices=list(LIFETIME_NAMES.items()),
        initial="hour",
        help_text="Counts only for the second and third choice. You can withdraw it earlier.",
    )

    def __init__(self, data: Any = None, *, approval: Approval) -> None:
        super().__init__(data, initial={"scope": _Scope.ONCE})
        scope = self.fields["scope"]
        assert isinstance(scope, forms.ChoiceField)
        scope.choices = [
            (_Scope.ONCE, "This call, once"),
            (_Scope.ARGUMENTS, "This call with these very arguments, as often as it likes for a time"),
            (_Scope.PERIOD, f"{approval.target} with any arguments, for a time"),
            (_Scope.RULE, f"For good, as a rule: {describe_answer_rule(approval)}"),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("scope") in _LASTING and not cleaned.get("lifetime"):
            self.add_error("lifetime", "Choose for how long.")
        return cleaned


class NoForm(forms.Form):
    """Stands on one page with the form of a yes: no two fields of a page have one identifier."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="no_%s")


class DenyForm(NoForm):
    reason = forms.CharField(
        required=False, max_length=255, label="Why not", help_text="The application and its user read it."
    )


class DeclineForm(NoForm):
    reason = forms.CharField(
        max_length=500,
        label="Why not",
        help_text="The person who asked reads it.",
        error_messages={"required": "Say why: it is all that the person who asked will read."},
    )
