"""A rule of one's own, as a form: what happens, where, with which argument, for which application."""

from __future__ import annotations

from copy import copy
from dataclasses import asdict
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from connections.models import Capability, Integration
from orgs.models import Application, Delegation, Membership
from policy.models import Effect, Layer, Rule
from policy.simple_conditions import (
    Argument,
    SimpleCondition,
    list_arguments,
    list_comparisons,
    make_example,
    read_simple,
    write_simple,
)

_CLASSES = {
    Capability.Klass.READ: "Everything that reads",
    Capability.Klass.WRITE: "Everything that writes",
    Capability.Klass.DESTRUCTIVE: "Everything that destroys",
}
_ONE, _CLASS, _AS_IT_IS = "name:", "class:", "kept"


class RuleForm(forms.Form):
    """What can be chosen depends on what is chosen above it; `begin` makes one from values that may not fit yet."""

    effect = forms.ChoiceField(
        label="What happens",
        widget=forms.RadioSelect,
        choices=[(Effect.ALLOW, "Allow"), (Effect.ASK, "Ask"), (Effect.DENY, "Never")],
        help_text="Ask has each call wait until you approve it.",
        error_messages={"required": "Choose what happens."},
    )
    application = forms.ModelChoiceField(
        Application.objects.none(), required=False, empty_label="Every application that acts for me"
    )
    integration = forms.ModelChoiceField(Integration.objects.none(), required=False, empty_label="Every integration")
    target = forms.ChoiceField(required=False, label="Capability")
    argument = forms.ChoiceField(required=False, label="Only where")
    comparison = forms.ChoiceField(required=False)
    value = forms.CharField(
        required=False,
        max_length=1024,
        # What is being typed stays while the rest of the form is fetched anew.
        widget=forms.TextInput(attrs={"hx-preserve": "true"}),
        error_messages={"required": "Enter a value to compare with."},
    )
    drop_conditions = forms.BooleanField(required=False, label="Remove these conditions")
    limit_count = forms.IntegerField(
        required=False,
        label="At most",
        min_value=1,
        max_value=2**31 - 1,
        help_text="How often it may be used, for a rule that allows. Empty: as often as wanted.",
    )
    limit_period = forms.ChoiceField(
        required=False,
        label="times",
        choices=Rule.Period.choices,
        initial=Rule.Period.HOUR,
        help_text="The period begins with the first use after the last one ended.",
    )
    limit_per = forms.ChoiceField(
        required=False, label="counted", choices=[one for one in Rule.Per.choices if one[0] != Rule.Per.USER]
    )
    reason = forms.CharField(
        required=False, max_length=255, label="Why", help_text="Shown wherever this rule decides about a call."
    )

    def __init__(
        self, data: Any = None, *, membership: Membership, rule: Rule | None = None, initial: Any = None
    ) -> None:
        super().__init__(data, initial=_read_rule(rule) if initial is None else initial)
        self.rule = rule
        self.membership = membership
        self._offer("application", _get_applications(membership, rule))
        self._offer("integration", Integration.objects.for_organization(membership.organization_id))
        self.chosen_integration = self._find_integration()
        self.capabilities = self._read_capabilities()
        self._set_choices("target", self._list_targets())
        if rule is not None and rule.limit_per == Rule.Per.USER:
            self._set_choices("limit_per", Rule.Per.choices)
        self.capability = self._find_capability()
        self.arguments = list_arguments(self.capability.input_schema) if self.capability is not None else []
        self._set_choices("argument", [("", "Any"), *((one.path, one.path) for one in self.arguments)])
        self.chosen_argument = self._find_argument()
        self._set_choices("comparison", list_comparisons(self.chosen_argument))
        self.kept_conditions = self._find_kept_conditions()
        self._prepare_condition()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.kept_conditions and not cleaned.get("drop_conditions"):
            cleaned["conditions"] = self.kept_conditions
        elif self.chosen_argument is not None:
            cleaned["conditions"] = self._write_condition(cleaned)
        else:
            cleaned["conditions"] = None
        return cleaned

    def get_facts(self) -> dict[str, Any]:
        """Return a valid form's rule as the services take it."""
        cleaned = self.cleaned_data
        capability, klass = self._read_target(cleaned["target"])
        is_limited = cleaned["limit_count"] is not None
        return {
            "effect": cleaned["effect"],
            "application": cleaned["application"],
            "integration": cleaned["integration"],
            "capability": capability,
            "klass": klass,
            "conditions": cleaned["conditions"],
            "limit_count": cleaned["limit_count"],
            "limit_period": (cleaned["limit_period"] or Rule.Period.HOUR) if is_limited else "",
            "limit_per": (cleaned["limit_per"] or Rule.Per.RULE) if is_limited else "",
            "reason": cleaned["reason"],
        }

    def make_draft(self) -> Rule:
        """Return a valid form's rule without storing it; it has the key of the rule being changed."""
        draft = Rule(organization=self.membership.organization, layer=Layer.USER, user=self.membership.user)
        if self.rule is not None:
            draft = copy(self.rule)
        for name, value in self.get_facts().items():
            setattr(draft, name, value)
        return draft

    def list_applications(self) -> list[Application]:
        """Return the applications that a valid form's rule is about."""
        chosen = self.cleaned_data["application"]
        field = self.fields["application"]
        assert isinstance(field, forms.ModelChoiceField)
        return [chosen] if chosen is not None else list(field.queryset or ())

    def list_capabilities(self) -> list[Capability]:
        """Return the capability that a valid form's rule is about, or an example of each class it is about."""
        if self.capability is not None:
            return [self.capability]
        klass = self._read_target(self.cleaned_data["target"])[1]
        examples = {one.klass: one for one in self.capabilities if not klass or one.klass == klass}
        return list(examples.values())

    def make_example(self) -> dict[str, Any]:
        """Return arguments that a valid form's condition is about; none where it has none, or a complicated one."""
        simple = read_simple(self.cleaned_data["conditions"])
        if simple is None or self.chosen_argument is None:
            return {}
        return make_example(simple, self.chosen_argument)

    def add_problems(self, error: ValidationError) -> None:
        """Show what a service refused at the field it is about."""
        fields = {"capability": "target", "klass": "target", "conditions": "value"}
        for name, texts in getattr(error, "message_dict", {"": error.messages}).items():
            field = fields.get(name, name)
            for text in texts:
                self.add_error(field if field in self.fields else None, text)

    def _write_condition(self, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        assert self.chosen_argument is not None
        if not cleaned.get("comparison") or not cleaned.get("value"):
            return None
        wanted = SimpleCondition(self.chosen_argument.path, cleaned["comparison"], cleaned["value"])
        try:
            return write_simple(wanted, self.chosen_argument)
        except ValueError as error:
            self.add_error("value", str(error))
            return None

    def _offer(self, name: str, rows: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = rows

    def _set_choices(self, name: str, choices: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def _get_chosen(self, name: str) -> str:
        value = self.data.get(name) if self.is_bound else self.initial.get(name)
        return str(value or "")

    def _find_integration(self) -> Integration | None:
        field = self.fields["integration"]
        try:
            found: Integration | None = field.clean(self._get_chosen("integration"))
        except ValidationError:
            return None
        return found

    def _read_capabilities(self) -> list[Capability]:
        if self.chosen_integration is None:
            return []
        known = Capability.objects.filter(integration=self.chosen_integration).exclude(status=Capability.Status.REMOVED)
        return list(known.select_related("integration").order_by("name"))

    def _list_targets(self) -> list[tuple[str, Any]]:
        targets: list[tuple[str, Any]] = [("", "Everything it offers")]
        targets += [(_CLASS + klass, words) for klass, words in _CLASSES.items()]
        named = list(dict.fromkeys(one.name for one in self.capabilities))
        rule = self.rule
        if rule is not None and rule.capability and rule.integration_id == getattr(self.chosen_integration, "pk", None):
            # What a form can't choose, or what the integration no longer offers, can still be kept.
            if _read_rule_target(rule) == _AS_IT_IS:
                targets.append((_AS_IT_IS, " ".join(filter(None, [rule.capability, rule.get_klass_display()]))))
            elif rule.capability not in named:
                named.append(rule.capability)
        return [*targets, ("One capability", [(_ONE + name, name) for name in named])] if named else targets

    def _read_target(self, target: str) -> tuple[str, str]:
        """Return the capability pattern and the class that a choice stands for."""
        if target == _AS_IT_IS and self.rule is not None:
            return self.rule.capability, self.rule.klass
        if target.startswith(_ONE):
            return target.removeprefix(_ONE), ""
        return "", target.removeprefix(_CLASS)

    def _find_capability(self) -> Capability | None:
        name = self._get_chosen("target").removeprefix(_ONE)
        return next((one for one in self.capabilities if one.name == name), None)

    def _find_argument(self) -> Argument | None:
        wanted = self._get_chosen("argument")
        return next((one for one in self.arguments if one.path == wanted), None)

    def _find_kept_conditions(self) -> Any:
        """Return conditions of the rule being changed that this form can't show: they stay unless dropped."""
        if self.rule is None or not self.rule.conditions:
            return None
        simple = read_simple(self.rule.conditions)
        is_elsewhere = self._get_chosen("target") != _read_rule_target(self.rule)
        is_shown = simple is not None and (is_elsewhere or simple.argument in [one.path for one in self.arguments])
        return None if is_shown else self.rule.conditions

    def _prepare_condition(self) -> None:
        argument = self.chosen_argument
        for name in ("comparison", "value"):
            self.fields[name].required = argument is not None
        if argument is not None and argument.choices:
            self.fields["value"].help_text = f"It is one of: {', '.join(argument.choices[:12])}."
        elif self._get_chosen("comparison").removeprefix("not_") in ("in", "any_in", "all_in"):
            self.fields["value"].help_text = "Separate several values by commas."


def _get_applications(membership: Membership, rule: Rule | None) -> QuerySet[Application]:
    """Return the applications that act for this person, and the one that their rule is already about."""
    delegations = Delegation.objects.for_organization(membership.organization_id).filter(user=membership.user).usable()
    named = [rule.application_id] if rule is not None and rule.application_id is not None else []
    wanted = Q(pk__in=delegations.values("application")) | Q(pk__in=named)
    return Application.objects.for_organization(membership.organization_id).filter(wanted)


def _read_rule(rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {}
    simple = read_simple(rule.conditions)
    return {
        "effect": rule.effect,
        "application": rule.application_id,
        "integration": rule.integration_id,
        "target": _read_rule_target(rule),
        "limit_count": rule.limit_count,
        "limit_period": rule.limit_period or Rule.Period.HOUR,
        "limit_per": rule.limit_per or Rule.Per.RULE,
        "reason": rule.reason,
        **(asdict(simple) if simple is not None else {}),
    }


def _read_rule_target(rule: Rule) -> str:
    """Return the choice that stands for a stored rule's target; patterns have one of their own."""
    if rule.capability and (rule.klass or "*" in rule.capability or rule.integration_id is None):
        return _AS_IT_IS
    if rule.capability:
        return _ONE + rule.capability
    return _CLASS + rule.klass if rule.klass else ""
