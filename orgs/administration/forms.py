"""Forms of the admin: a row's relations stay in its organization, and a service may refuse what a form accepted."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from orgs.models import Membership, Organization, User

OTHER_ORGANIZATION = "Choose something of the same organization."
NOT_A_MEMBER = "This person isn't a member of the organization."


class WriteOnlySecretField(forms.CharField):
    """A secret that can be entered and replaced but is never shown. Left empty, what is stored stays (None)."""

    def __init__(self, **kwargs: Any) -> None:
        defaults = {
            "required": False,
            "strip": True,
            "max_length": 4096,
            "empty_value": None,
            "help_text": "Stored encrypted and never shown again. Leave it empty to keep what is stored.",
            "widget": UnfoldAdminPasswordWidget(
                render_value=False, attrs={"autocomplete": "new-password", "spellcheck": "false"}
            ),
        }
        super().__init__(**{**defaults, **kwargs})

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        self.initial = None
        return super().get_bound_field(form, field_name)


class LinesField(forms.CharField):
    """Several values, one a line; becomes a list without empty lines and repetitions."""

    def __init__(self, **kwargs: Any) -> None:
        defaults = {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"})}
        super().__init__(**{**defaults, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        lines = value if isinstance(value, list | tuple) else str(value or "").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    def run_validators(self, value: Any) -> None:
        for line in value:
            super().run_validators(line)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


class WordsField(LinesField):
    """As LinesField, for a column that keeps the values as words with a space between."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(value or "").split())

    def to_python(self, value: Any) -> str:
        return " ".join(super().to_python(str(value or "").split()))

    def run_validators(self, value: Any) -> None:
        super().run_validators(value.split())


class OrganizationForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of every row that belongs to an organization.

    `refusal` is set for the second showing of a form whose saving a service refused: it becomes the form's errors.
    """

    refusal: ClassVar[ValidationError | None] = None

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for name, problem in _find_strangers(self):
            self.add_error(name if name in self.fields else None, problem)
        if self.refusal is not None:
            add_refusal(self, self.refusal)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        # A name is unique within the organization: checked although the organization itself can't be edited.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded - {"organization"} if getattr(self.instance, "organization_id", None) else excluded


def add_refusal(form: forms.BaseForm, refusal: ValidationError) -> None:
    """Make a service's refusal the form's errors, each beside its field where the form has that field."""
    if not hasattr(refusal, "error_dict"):
        form.add_error(None, refusal.messages)
        return
    for name, texts in refusal.message_dict.items():
        form.add_error(name if name in form.fields else None, texts)


def _find_strangers(form: forms.ModelForm[Any]) -> list[tuple[str, str]]:
    """Return the relations that leave the row's organization. PostgreSQL would refuse them too, but not as kindly."""
    relations = {name: row for name, row in _relations(form).items() if row is not None}
    owner = _find_owner(form, relations)
    if owner is None:
        return []
    strangers = [
        (name, OTHER_ORGANIZATION)
        for name, row in relations.items()
        if getattr(row, "organization_id", owner) not in (owner, None)
    ]
    people = {name: row for name, row in relations.items() if isinstance(row, User)}
    members = set(
        Membership.objects.filter(organization=owner, user__in=people.values()).values_list("user", flat=True)
    )
    if isinstance(form.instance, Membership):
        return strangers
    return strangers + [(name, NOT_A_MEMBER) for name, person in people.items() if person.pk not in members]


def _relations(form: forms.ModelForm[Any]) -> dict[str, models.Model | None]:
    """Return what the row will refer to: as chosen in the form, else as it stands (an inline's parent)."""
    found: dict[str, models.Model | None] = {}
    for field in form.instance._meta.concrete_fields:
        if not isinstance(field, models.ForeignKey):
            continue
        if field.name in form.cleaned_data:
            found[field.name] = form.cleaned_data[field.name]
        elif getattr(form.instance, field.attname, None) is not None:
            found[field.name] = getattr(form.instance, field.name)
    return found


def _find_owner(form: forms.ModelForm[Any], relations: dict[str, models.Model]) -> UUID | None:
    organization = relations.get("organization")
    if isinstance(organization, Organization):
        return organization.pk
    if "organization" in form.fields:
        return None  # not chosen yet: the field itself says so
    owners = [key for row in relations.values() if (key := getattr(row, "organization_id", None))]
    return owners[0] if owners else None
