"""The cast of the demo: who they are at their organization's identity provider and at the demo GitHub."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Person:
    """`subject` is the key at the identity provider; `github` the account chosen when connecting GitHub."""

    name: str
    subject: str
    email: str
    groups: tuple[str, ...]
    github: str = ""

    @property
    def claims(self) -> str:
        """The person as oidc-provider-mock takes it on its command line."""
        return json.dumps(
            {
                "sub": self.subject,
                "name": self.name,
                "email": self.email,
                "email_verified": True,
                "groups": list(self.groups),
            }
        )


@dataclass(frozen=True)
class Cast:
    """One organization and its people; the first one administers it."""

    slug: str
    name: str
    domain: str
    people: tuple[Person, ...] = field(repr=False)


CAROL = Person("Carol Reyes", "carol", "carol@acme.example", ("IT",))
ALICE = Person("Alice Nguyen", "alice", "alice@acme.example", ("Engineering",), github="alice-acme")
BOB = Person("Bob Fischer", "bob", "bob@acme.example", ("Sales",), github="bob-acme")
MALLORY = Person("Mallory Stone", "mallory", "mallory@globex.example", ("Research",), github="mallory-globex")

ACME = Cast("acme", "Acme Corp", "acme.example", (CAROL, ALICE, BOB))
GLOBEX = Cast("globex", "Globex", "globex.example", (MALLORY,))
CASTS = (ACME, GLOBEX)
