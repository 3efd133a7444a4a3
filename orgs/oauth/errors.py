"""An OAuth error answer, for code that is not inside oauthlib."""

from __future__ import annotations


class OAuthError(Exception):
    """A refusal with the code its RFC gives it. `description` says what to change and holds no secret.

    `retry_after` is in seconds, where trying again later will do.
    """

    def __init__(self, code: str, description: str, *, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, str]:
        return {"error": self.code, "error_description": self.description}
