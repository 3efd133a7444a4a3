"""What this floor's services refuse. Texts are fit for people; `code` is what an API client sees."""

from __future__ import annotations

import datetime as dt


def say(error: Exception) -> str:
    """Return an exception's text, which has no capital letter and no full stop, as a sentence for a page."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


class OrgsError(Exception):
    code = "kontext_validation_error"


class AlreadyClaimedError(OrgsError):
    """Another organization took the application in first."""

    code = "kontext_not_found"


class RegistrationClosedError(OrgsError):
    """The organization takes in no applications that register themselves."""

    code = "kontext_registration_closed"


class NotAMemberError(OrgsError):
    """The person is not an active member of the organization."""

    code = "kontext_not_found"


class NotAllowedToShareError(OrgsError):
    """Only owners and administrators put something before everybody."""

    code = "kontext_forbidden"


class DelegationEndedError(OrgsError):
    """The consent was revoked, or its time ran out."""

    code = "kontext_not_found"


class LastOwnerError(OrgsError):
    """An organization can't be left without an active owner or administrator."""

    code = "kontext_last_owner"


class TooManyGroupsError(OrgsError):
    """An identity provider names more groups for one person than can be meant."""


class PayloadMissingError(OrgsError):
    """Nothing of the content was kept at this event, beyond digests."""

    code = "kontext_not_found"


class PayloadErasedError(OrgsError):
    """What was kept of the content was erased, when and by whom."""

    code = "kontext_payload_erased"

    def __init__(self, at: dt.datetime, by: str) -> None:
        super().__init__(f"the content was erased on {at:%Y-%m-%d} by {by}")
        self.at = at
        self.by = by


class PayloadUnreadableError(OrgsError):
    """What is stored is not what was kept: it was changed or exchanged, or its key is another installation's."""

    code = "kontext_payload_unreadable"
