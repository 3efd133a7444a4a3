"""The form of a rule: one condition in three fields, several as JSON, and what a capability can be called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import construct_instance
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connections.models import Capability
from orgs.admin_site import Access, OrganizationForm, narrow
from policy.conditions import check_conditions
from policy.engine.matching import compile_pattern
from policy.models import Rule
from policy.simple_conditions import list_arguments

_SIMPLE = {
    "equals": "is",
    "in": "is one of",
    "matches": "matches (* is any text)",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "contains": "contains",
    "less_than": "is less than",
    "at_most": "is at most",
    "greater_than": "is more than",
    "at_least": "is at least",
    "exists": "is given",
}
_LISTS = {"in"}
_NUMBERS = {"less_than", "at_most", "greater_than", "at_least"}
_MOST_SUGGESTED = 500
# Which comparisons fit which type of argument.
_FITTING = {
    "string": {"equals", "in", "matches", "starts_with", "ends_with", "contains", "exists"},
    "integer": {"equals", "in", *_NUMBERS, "exists"},
    "boolean": {"equals", "exists"},
    "array": {"contains", "exists"},
}
_TYPE_NAMES = {"string": "text", "integer": "number", "boolean": "true or false", "array": "list"}
EXAMPLE = """{"all": [
  {"argument": "repo", "operator": "equals", "value": "acme/frontend"},
  {"unless": {"argument": "labels", "operator": "contains", "value": "security"}},
  {"context": "time", "zone": "Europe/Berlin", "days": ["mon", "tue"], "from": "09:00", "until": "17:00"}
]}"""


def list_choices(access: Access, *, integration: str, capability: str, argument: str) -> dict[str, Any]:
    """Return what the form's later fields offer for what is chosen in the earlier ones, by identifier and name.

    `capabilities` and `arguments` are pairs of a value and a label. `operators` are those that fit the argument; all
    where nothing is known of it.
    """
    rows = narrow(Capability.objects.exclude(status="removed").select_related("integration"), access)
    if integration:
        rows = rows.filter(integration__in=_read_identifiers(integration))
    matches = compile_pattern(capability or "*")
    known = list(rows[:_MOST_SUGGESTED])
    arguments = {one.path: one for row in known if matches(row.name) for one in list_arguments(row.input_schema)}
    chosen = arguments.get(argument)
    return {
        "capabilities": [[row.name, _label(row)] for row in known],
        "arguments": [[path, _TYPE_NAMES[one.type]] for path, one in sorted(arguments.items())],
        "operators": [name for name in _SIMPLE if chosen is None or name in _FITTING[chosen.type]],
    }


def _read_identifiers(text: str) -> list[UUID]:
    """Return the identifier that a text is, if it is one."""
    try:
        return [UUID(text)]
    except ValueError:
        return []


def _label(row: Capability) -> str:
    return f"{row.integration.name}: {row.title or row.name}"


class SuggestingInput(UnfoldAdminTextInputWidget):
    """A text input that suggests values, and takes others: a pattern is one too."""

    suggestions: Sequence[tuple[str, str]] = ()

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        key = f"{name}-suggestions"
        shown = super().render(name, value, {**(attrs or {}), "list": key}, renderer)
        options = format_html_join("", '<option value="{}">{}</option>', self.suggestions)
        return format_html('{}<datalist id="{}">{}</datalist>', shown, key, options)


class ConditionsField(forms.CharField):
    """The policy engine's JSON tree, with a word on where it can't be read."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false", "class": "k-code"})

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if value is None or not str(value).strip():
            return None
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValidationError(f"This is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(initial != data)


class RuleForm(OrganizationForm):
    """`access` is set by the admin: whose capabilities are suggested."""

    access: ClassVar[Access]
    argument = forms.CharField(
        label="Argument",
        required=False,
        max_length=255,
        widget=SuggestingInput,
        help_text="As the capability names it, such as repo; with dots for what is inside (issue.title).",
    )
    operator = forms.ChoiceField(
        label="Comparison",
        required=False,
        choices=[("", "No condition"), *_SIMPLE.items()],
        widget=UnfoldAdminSelectWidget,
    )
    value = forms.CharField(
        label="Value",
        required=False,
        max_length=1024,
        widget=UnfoldAdminTextInputWidget,
        help_text="Several, for “is one of”, with commas between.",
    )
    conditions = ConditionsField(label="Conditions as JSON", required=False)

    class Meta:
        model = Rule
        fields = (
            "organization",
            "layer",
            "effect",
            "user",
            "group",
            "application",
            "integration",
            "capability",
            "klass",
            "reason",
            "valid_from",
            "valid_until",
            "limit_count",
            "limit_period",
            "limit_per",
            "mode",
            "is_enabled",
        )
        widgets: ClassVar[dict[str, Any]] = {"capability": SuggestingInput}
        help_texts: ClassVar[dict[str, str]] = {
            "layer": "Organization: administrators speak. User: what a group passes on. Application: its owner.",
            "user": "Empty, with no group and no application: everyone.",
            "integration": "Empty: every integration.",
            "capability": "Such as create_issue, or create_* for all that begin so. Empty: every capability.",
            "klass": "Only capabilities of this class, whatever they are called.",
            "reason": "Shown to whoever is refused.",
            "limit_count": "For a rule that allows: how often it may be used. Empty: as often as wanted.",
            "limit_period": "It begins with the first use after the last one ended.",
            "limit_per": "Whose calls are counted together.",
            "mode": "A rule that is only recorded shows in each decision what it would have changed.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "conditions" not in self.fields:
            return
        self._suggest()
        stored = self.instance.conditions
        if _is_simple(stored):
            self.initial.update(argument=stored["argument"], operator=stored["operator"], conditions=None)
            self.initial["value"] = _write_value(stored.get("value"))
        else:
            self.initial["conditions"] = stored

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        simple = self._read_simple(cleaned)
        if simple is not None and cleaned.get("conditions") is not None:
            self.add_error("conditions", "Use either the three fields above or JSON, not both.")
        elif simple is not None:
            cleaned["conditions"] = simple
        if "conditions" in cleaned and not self.errors:
            self._check(cleaned["conditions"])
        self.instance.conditions = cleaned.get("conditions")
        return cleaned

    def _post_clean(self) -> None:
        # The service checks the whole rule, and says in words what the model's constraints only say by their names.
        self.instance = construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)

    def _read_simple(self, cleaned: dict[str, Any]) -> Any:
        argument, operator, value = (cleaned.get(name) or "" for name in ("argument", "operator", "value"))
        if not argument and not operator and not value:
            return None
        if not argument or not operator:
            self.add_error("argument" if not argument else "operator", "A condition has an argument and a comparison.")
            return None
        test = {"argument": argument, "operator": operator}
        return (
            test if operator == "exists" else {**test, "value": _read_value(operator, value, self._get_types(argument))}
        )

    def _check(self, conditions: Any) -> None:
        """Show what is wrong with a condition where it was entered."""
        try:
            check_conditions(conditions)
        except ValidationError as error:
            entered_as_fields = bool(self.cleaned_data.get("operator"))
            self.add_error("value" if entered_as_fields else "conditions", error.messages)

    def _get_types(self, argument: str) -> set[str]:
        """Return the JSON types that the chosen capability's schema gives an argument at its top; perhaps none."""
        integration, name = self.cleaned_data.get("integration"), self.cleaned_data.get("capability")
        row = Capability.objects.filter(integration=integration, name=name).first() if integration else None
        properties = row.input_schema.get("properties", {}) if row is not None else {}
        declared = properties.get(argument, {}).get("type", [])
        return {declared} if isinstance(declared, str) else set(declared)

    def _suggest(self) -> None:
        rows = self._get_capabilities()
        arguments = {one.path: one.type for row in rows for one in list_arguments(row.input_schema)}
        if "capability" in self.fields:
            self.fields["capability"].widget.suggestions = tuple((row.name, _label(row)) for row in rows)
        self.fields["argument"].widget.suggestions = tuple(
            (path, _TYPE_NAMES[kind]) for path, kind in sorted(arguments.items())
        )
        # Where scripts run, what is offered follows what is chosen (kontext/admin.js).
        self.fields["argument"].widget.attrs["data-rule-choices"] = reverse("admin:policy_rule_choices")

    def _get_capabilities(self) -> QuerySet[Any]:
        rows = narrow(Capability.objects.exclude(status="removed").select_related("integration"), self.access)
        if self.instance.organization_id is not None:
            rows = rows.filter(organization=self.instance.organization_id)
        if self.instance.integration_id is not None:
            rows = rows.filter(integration=self.instance.integration_id)
        return rows[:_MOST_SUGGESTED]


def _is_simple(conditions: Any) -> bool:
    """Tell whether the three fields can say all of it."""
    if not isinstance(conditions, dict) or not {"argument", "operator"} <= set(conditions) <= {
        "argument",
        "operator",
        "value",
    }:
        return False
    value = conditions.get("value")
    if conditions["operator"] not in _SIMPLE or isinstance(value, list) != (conditions["operator"] in _LISTS):
        return False
    listed = value if isinstance(value, list) else []
    return all(isinstance(one, int) or ("," not in one and one == one.strip()) for one in listed)


def _write_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def _read_value(operator: str, text: str, types: set[str]) -> Any:
    if operator in _LISTS:
        return [_read_value("equals", part.strip(), types) for part in text.split(",") if part.strip()]
    is_whole = text.strip().removeprefix("-").isdigit()
    if is_whole and (operator in _NUMBERS or (types and types <= {"integer", "number"})):
        return int(text)
    if types == {"boolean"} and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    return text
