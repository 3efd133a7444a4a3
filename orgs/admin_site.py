"""What an app's admin.py needs. See docs/architecture.md for how the parts work together."""

from orgs.administration.access import READERS, WRITERS, Access, get_access, narrow
from orgs.administration.actions import form_action, get_change_url, get_permitted, object_action, show_secret_once
from orgs.administration.forms import LinesField, OrganizationForm, WordsField, WriteOnlySecretField
from orgs.administration.models import (
    OrganizationModelAdmin,
    OrganizationStackedInline,
    OrganizationTabularInline,
    get_events_url,
    link_to,
)
from orgs.administration.scope import ScopedRelatedFilter

__all__ = [
    "READERS",
    "WRITERS",
    "Access",
    "LinesField",
    "OrganizationForm",
    "OrganizationModelAdmin",
    "OrganizationStackedInline",
    "OrganizationTabularInline",
    "ScopedRelatedFilter",
    "WordsField",
    "WriteOnlySecretField",
    "form_action",
    "get_access",
    "get_change_url",
    "get_events_url",
    "get_permitted",
    "link_to",
    "narrow",
    "object_action",
    "show_secret_once",
]
