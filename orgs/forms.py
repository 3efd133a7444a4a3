"""What people enter at sign-in and at the first setup."""

from __future__ import annotations

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from orgs.models import IdentityProvider
from orgs.models.organizations import slug_validator
from orgs.sso.providers import find_provider_for_email


class EmailSignInForm(forms.Form):
    """Find the organization's identity provider by e-mail domain. The address proves nothing and is not kept."""

    email = forms.EmailField(
        label="Work e-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True, "inputmode": "email"}),
        error_messages={
            "required": "Enter your e-mail address at work.",
            "invalid": "Enter a whole e-mail address, such as alice@example.com.",
        },
    )

    provider: IdentityProvider | None = None

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        self.provider = find_provider_for_email(email)
        if self.provider is None:
            domain = email.rpartition("@")[2]
            raise forms.ValidationError(
                f"No organization here signs in people of {domain}. Check the address, or ask your administrator "
                "to set up sign-in for it."
            )
        return email


class PasswordSignInForm(AuthenticationForm):
    """For local administrators. One message for every refusal: it doesn't tell which names exist."""

    error_messages = {
        "invalid_login": "This user name and password don't fit together, or there were too many attempts. "
        "Check both, and wait a few minutes if you tried often.",
        "inactive": "This user name and password don't fit together, or there were too many attempts.",
    }


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
