from __future__ import annotations

from django import forms

from orgs.models.organizations import slug_validator


class FirstAdministratorForm(forms.Form):
    """Who runs this installation, and the first organization in it."""

    organization_name = forms.CharField(max_length=120, label="Organization")
    organization_slug = forms.CharField(
        max_length=63,
        label="Short name",
        help_text="Lower-case letters, digits and hyphens, such as acme or acme-dev.",
        validators=[slug_validator],
    )
    name = forms.CharField(max_length=255, label="Your name")
    email = forms.EmailField(label="Your e-mail address", help_text="You sign in with it.")
    password = forms.CharField(
        label="Password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters. Everyone else signs in through your identity provider.",
    )
