"""What people enter to connect an integration."""

from __future__ import annotations

from django import forms


class KeyForm(forms.Form):
    """A key of one's own. It is shown to nobody again, not even in a form that comes back."""

    key = forms.CharField(
        max_length=8192,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "autofocus": True, "spellcheck": "false"}),
        error_messages={"required": "Paste the key."},
    )

    def __init__(self, *args: object, integration_name: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["key"].label = f"Your key for {integration_name}"
