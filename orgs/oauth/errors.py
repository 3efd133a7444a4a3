"""An OAuth error answer, for code that is not inside oauthlib."""

from __future__ import annotations


class OAuthError(Exception):
    """A refusal with the code its RFC gives it. `description` says what to change and holds no secret."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status

    def as_dict(self) -> dict[str, str]:
        return {"error": self.code, "error_description": self.description}
