"""What people enter to connect an integration."""

from __future__ import annotations

from django import forms

from connections.keys import get_key_fields
from connections.models import Integration


class KeyForm(forms.Form):
    """A key of one's own, in its parts. It is shown to nobody again, not even in a form that comes back."""

    def __init__(self, *args: object, integration: Integration, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for number, part in enumerate(get_key_fields(integration)):
            attributes = {"autocomplete": "off", "spellcheck": "false"} | ({} if number else {"autofocus": True})
            widget = forms.PasswordInput if part.is_hidden else forms.TextInput
            self.fields[part.name] = forms.CharField(
                label=part.label,
                max_length=8192,
                widget=widget(attrs=attributes),
                error_messages={"required": "Paste the key." if part.name == "key" else "Enter it."},
            )
