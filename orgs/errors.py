"""What this floor's services refuse. Texts are fit for people; `code` is what an API client sees."""

from __future__ import annotations


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


class DelegationEndedError(OrgsError):
    """The consent was revoked, or its time ran out."""

    code = "kontext_not_found"


class LastOwnerError(OrgsError):
    """An organization can't be left without an active owner or administrator."""

    code = "kontext_last_owner"


class TooManyGroupsError(OrgsError):
    """An identity provider names more groups for one person than can be meant."""
