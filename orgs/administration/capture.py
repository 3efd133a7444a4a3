"""How administrators choose what is kept of the content of calls: for organizations and integrations alike."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from orgs.administration.forms import LinesField
from orgs.models import CaptureLevel

TITLE = "What is kept of calls"
DESCRIPTION = (
    "Every call's events have keyed digests of its arguments and of its result: they prove what was sent, and can't be "
    "read. A summary adds names of arguments, types and sizes. Full keeps the content itself, up to 64 KiB each way, "
    "encrypted with a key of the person it was for. Then personal data and company secrets are in the record, for that "
    "person, owners and administrators to look at, which is recorded each time. What has the name of a secret "
    "(password, token, authorization and the like) is left out; what only its meaning gives away is not."
)
WARNING = (
    "The content of calls is kept from now on. Tell the people whose calls these are, and name under “Never stored” "
    "what must not be kept. Choosing less later keeps what is there: it is erased for each person, on the page of "
    "their membership."
)
FIELDS = ("capture_level", "redacted_paths")


class CaptureFormMixin(forms.Form):
    """For the form of a row with these fields."""

    capture_level = forms.ChoiceField(
        label="Content of calls", required=False, choices=CaptureLevel.choices, widget=UnfoldAdminSelectWidget
    )
    redacted_paths = LinesField(
        label="Never stored",
        required=False,
        help_text="Paths of arguments, one a line: customer.iban, headers.*, items.note (in every item of a list). "
        "What stands there is left out of results, too.",
    )

    def clean(self) -> dict[str, Any] | None:
        """What is posted without these fields leaves them as they are."""
        cleaned = super().clean()
        for name in FIELDS:
            if self.add_prefix(name) not in self.data:
                self.cleaned_data[name] = getattr(self.instance, name)  # type: ignore[attr-defined]
        return cleaned


def is_full_from_now_on(form: forms.ModelForm[Any]) -> bool:
    return form.cleaned_data["capture_level"] == CaptureLevel.FULL and "capture_level" in form.changed_data
