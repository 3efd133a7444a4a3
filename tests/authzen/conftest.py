"""The cast, with the story's rules and a token of PR-Bot's own. Carol owns it, and is an administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from orgs.oauth.keys import forget_signing_key
from orgs.vault import forget_keys
from tests.authzen.client import Pdp, make_pdp
from tests.factories import Cast, make_cast, make_rule


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    forget_signing_key()
    forget_keys()
    cache.clear()
    yield
    forget_signing_key()


@pytest.fixture
def cast(db: None) -> Cast:
    """Engineering may use GitHub, Alice allows issues, PR-Bot is for acme/frontend alone."""
    cast = make_cast()
    make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)
    make_rule(cast.acme, "user", "allow", user=cast.alice, integration=cast.github, capability="create_issue")
    only = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, integration=cast.github, conditions=only)
    return cast


@pytest.fixture
def pdp(cast: Cast) -> Pdp:
    return make_pdp(cast.pr_bot)
