"""What somebody asked for, said otherwise before saying yes to it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone

from connections.models import Capability
from policy.models import Layer, RuleRequest
from policy.simple_conditions import Argument, SimpleCondition, list_arguments, list_comparisons, write_simple

_ENDS = {"": None, "day": dt.timedelta(days=1), "week": dt.timedelta(days=7), "month": dt.timedelta(days=30)}
_END_NAMES = [("", "For good"), ("day", "For a day"), ("week", "For 7 days"), ("month", "For 30 days")]


class AcceptForm(forms.Form):
    """For whom, only where, and until when: what makes a proposal narrower than it was asked for."""

    subject = forms.ChoiceField(label="For whom", required=False)
    argument = forms.ChoiceField(label="Only where", required=False)
    comparison = forms.ChoiceField(label="Comparison", required=False)
    value = forms.CharField(label="Value", required=False, max_length=1024)
    until = forms.ChoiceField(label="For how long", required=False, choices=_END_NAMES)
    reason = forms.CharField(
        label="Reason", required=False, max_length=255, help_text="Stands with the rule, for whoever reads it later."
    )

    def __init__(self, data: Any = None, *, request: RuleRequest) -> None:
        super().__init__(data)
        self.request = request
        self.arguments = {one.path: one for one in list_arguments(_read_schema(request))}
        self._set_choices("argument", [("", "Any"), *((path, path) for path in self.arguments)])
        comparisons = {key: words for one in self.arguments.values() for key, words in list_comparisons(one)}
        self._set_choices("comparison", list(comparisons.items()))
        subjects = [("application", f"{request.application}, for whomever it acts")]
        if request.layer == Layer.ORG:
            subjects.append(("asker", f"{request.asker} alone, with whatever application acts for them"))
        self._set_choices("subject", subjects)
        for name in ("argument", "comparison", "value") if not self.arguments else ():
            del self.fields[name]
        if len(subjects) == 1:
            del self.fields["subject"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        cleaned["conditions"] = self._write_condition(cleaned)
        return cleaned

    def get_changes(self) -> dict[str, Any]:
        """Return a valid form as accept_request takes it."""
        cleaned = self.cleaned_data
        lifetime = _ENDS[cleaned["until"]]
        changes: dict[str, Any] = {
            "conditions": cleaned["conditions"],
            "reason": cleaned["reason"],
            "valid_until": timezone.now() + lifetime if lifetime is not None else None,
        }
        if cleaned.get("subject") == "asker":
            changes |= {"user": self.request.asker, "application": None}
        return changes

    def _write_condition(self, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        argument: Argument | None = self.arguments.get(cleaned.get("argument") or "")
        if argument is None:
            return None
        if not cleaned.get("value"):
            self.add_error("value", "Enter a value to compare with.")
            return None
        try:
            return write_simple(SimpleCondition(argument.path, cleaned["comparison"], cleaned["value"]), argument)
        except (ValueError, KeyError) as error:
            self.add_error("value", str(error) if isinstance(error, ValueError) else "This can't be compared so.")
            return None

    def _set_choices(self, name: str, choices: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


def _read_schema(request: RuleRequest) -> Any:
    rows = Capability.objects.filter(integration=request.integration, name=request.capability)
    found = rows.filter(kind=Capability.Kind.TOOL).first()
    return found.input_schema if found is not None else {}
