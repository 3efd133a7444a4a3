"""Why a sign-in is refused. `reason` is recorded and shown as a code; the text says what to do."""

from __future__ import annotations


class SignInRefusedError(Exception):
    reason = "refused"


class MisconfiguredError(SignInRefusedError):
    reason = "misconfigured"


class SuspendedError(SignInRefusedError):
    reason = "suspended"


class ForeignDomainError(SignInRefusedError):
    reason = "foreign_domain"


class UnverifiedEmailError(SignInRefusedError):
    reason = "unverified_email"


class IssuerMismatchError(SignInRefusedError):
    reason = "issuer_mismatch"
