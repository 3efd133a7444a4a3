"""What the demo GitHub remembers, in one file so that a restart forgets neither clients nor tokens."""

from __future__ import annotations

import os
from pathlib import Path

from mcp.server.auth.provider import AccessToken, RefreshToken
from mcp.shared.auth import OAuthClientInformationFull
from pydantic import BaseModel, Field


class Issue(BaseModel):
    number: int
    repo: str
    title: str
    body: str
    author: str
    state: str = "open"


class Repository(BaseModel):
    name: str
    files: dict[str, str] = Field(default_factory=dict)
    issues: list[Issue] = Field(default_factory=list)


class State(BaseModel):
    clients: dict[str, OAuthClientInformationFull] = Field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = Field(default_factory=dict, repr=False)
    refresh_tokens: dict[str, RefreshToken] = Field(default_factory=dict, repr=False)
    families: dict[str, str] = Field(default_factory=dict, repr=False)  # token -> family, spent refresh tokens too
    repositories: dict[str, Repository] = Field(default_factory=dict)


class Store:
    """The state and its file. Without a path everything lives in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.state = self._load()

    def save(self) -> None:
        if self.path is None:
            return
        draft = self.path.with_suffix(".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.state.model_dump_json())
        draft.replace(self.path)

    def _load(self) -> State:
        if self.path is not None and self.path.exists():
            return State.model_validate_json(self.path.read_text())
        return State(repositories={repository.name: repository for repository in initial_repositories()})


def initial_repositories() -> list[Repository]:
    return [
        Repository(name="acme/frontend", files={"README.md": "# The shop window of Acme Corp\n"}),
        Repository(name="acme/backend", files={"README.md": "# The till of Acme Corp\n"}),
    ]
