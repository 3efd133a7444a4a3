"""A verified token is not enough: what it names is asked of the snapshot at each call."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from gateway.errors import AuthenticationError, InsufficientScopeError
from orgs.models import Application, SigningKey, User
from orgs.oauth.keys import forget_signing_key
from orgs.oauth.tokens import get_checksum, make_access_token, sign_access_token
from orgs.services.end_tokens import end_tokens
from orgs.services.grant_delegation import grant_delegation
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from orgs.services.revoke_delegation import revoke_delegation
from orgs.services.rotate_signing_keys import rotate_signing_keys
from orgs.services.suspend_person import suspend_membership, suspend_user
from tests.factories import Cast, issue_token, make_delegation
from tests.gateway.conftest import GITHUB, RunningState, wait_until


def is_refused(state: RunningState, token: str, resource: str = GITHUB) -> bool:
    try:
        state.authenticate(token, resource)
    except AuthenticationError:
        return True
    return False


def test_authenticate_good_token_returns_who_calls(cast: Cast, state: RunningState) -> None:
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    principal, snapshot = state.run(state.runtime.authenticator.authenticate(token, resource=GITHUB))
    assert principal.user_id == str(cast.alice.pk)
    assert principal.user_name == "Alice Adams"
    assert principal.application_id == str(cast.pr_bot.pk)
    assert principal.application_name == "PR-Bot"
    assert principal.organization_id == snapshot.organization_id == str(cast.acme.pk)
    assert principal.jti == str(row.jti)
    assert principal.resource == GITHUB
    assert state.authenticate(token) is principal


def test_authenticate_application_for_itself_has_no_user(cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, None, GITHUB)
    principal = state.authenticate(token)
    assert (principal.user_id, principal.user_name) == (None, "")


def test_authenticate_without_token_says_nothing_was_sent(state: RunningState) -> None:
    with pytest.raises(AuthenticationError) as caught:
        state.authenticate(None)
    assert caught.value.error == ""


@pytest.mark.parametrize(
    "resource",
    [
        f"{settings.GATEWAY_URL}/mcp",
        f"{settings.GATEWAY_URL}/mcp/slack",
        f"{settings.GATEWAY_URL}/mcp/GitHub",
        f"{settings.GATEWAY_URL}/mcp/githubb",
        f"{settings.GATEWAY_URL}/mcp/github/",
        f"{settings.GATEWAY_URL}/mcp/github/../slack",
        f"{settings.PUBLIC_URL}/api/v1",
    ],
)
def test_authenticate_token_at_another_resource_is_refused(cast: Cast, state: RunningState, resource: str) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    state.authenticate(token)
    with pytest.raises(AuthenticationError):
        state.authenticate(token, resource)


def test_authenticate_token_of_the_joined_resource_is_for_that_alone(cast: Cast, state: RunningState) -> None:
    joined = f"{settings.GATEWAY_URL}/mcp"
    token, _ = issue_token(cast.pr_bot, cast.alice, joined)
    assert state.authenticate(token, joined).resource == joined
    with pytest.raises(AuthenticationError):
        state.authenticate(token, GITHUB)


def test_authenticate_token_without_the_scope_names_what_is_needed(cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB, scopes=("openid",))
    with pytest.raises(InsufficientScopeError) as caught:
        state.authenticate(token)
    assert caught.value.scope == "mcp:invoke"


def test_authenticate_expired_token_is_refused_also_from_memory(
    cast: Cast, state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    state.authenticate(token)
    monkeypatch.setattr(time, "time", lambda: row.expires_at.timestamp())
    with pytest.raises(AuthenticationError, match="expired"):
        state.authenticate(token)


ENDINGS: dict[str, Callable[[Cast], Any]] = {
    "tokens ended": lambda c: end_tokens(user=c.alice),
    "token revoked": lambda c: c.pr_bot.issued_tokens.update(revoked_at=timezone.now()),
    "person suspended": lambda c: suspend_membership(membership=c.alice.memberships.get()),
    "person suspended everywhere": lambda c: suspend_user(user=c.alice),
    "person deleted": lambda c: User.objects.filter(pk=c.alice.pk).delete(),
    "application suspended": lambda c: Application.objects.filter(pk=c.pr_bot.pk).update(status="suspended"),
    "application deleted": lambda c: Application.objects.filter(pk=c.pr_bot.pk).delete(),
    "application may not use the integration": lambda c: c.pr_bot.application_integrations.all().delete(),
    "integration disabled": lambda c: _set(c.github, status="disabled"),
    "integration renamed": lambda c: _set(c.github, slug="hub"),
    "consent ended": lambda c: revoke_delegation(delegation=c.delegation, reason="test"),
    "organization suspended": lambda c: _set(c.acme, status="suspended"),
    "organization deleted": lambda c: c.acme.delete(),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_authenticate_after_access_ended_is_refused_within_a_second(
    cast: Cast, state: RunningState, ending: str
) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, token)
    if ending == "tokens ended":  # the toolkit's row, whose end is the token's
        _make_toolkit_row(cast, token)
    ENDINGS[ending](cast)
    wait_until(lambda: is_refused(state, token))


def test_authenticate_while_paused_says_so_within_a_second_until_it_is_resumed(cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not state.authenticate(token).is_paused
    pause_delegation(delegation=cast.delegation)
    wait_until(lambda: state.authenticate(token).is_paused)
    resume_delegation(delegation=cast.delegation)
    wait_until(lambda: not state.authenticate(token).is_paused)


@pytest.mark.parametrize("ending", ["person suspended", "token revoked", "consent ended"])
def test_ending_one_access_leaves_others_alone(cast: Cast, state: RunningState, ending: str) -> None:
    make_delegation(cast.pr_bot, cast.bob)
    alices, row = issue_token(cast.pr_bot, cast.alice, GITHUB)
    bobs, _ = issue_token(cast.pr_bot, cast.bob, GITHUB)
    mallorys = _issue_to_mallory(cast)
    for token in (alices, bobs, mallorys):
        assert not is_refused(state, token)
    if ending == "token revoked":
        type(row).objects.filter(pk=row.pk).update(revoked_at=timezone.now())
    else:
        ENDINGS[ending](cast)
    wait_until(lambda: is_refused(state, alices))
    assert not is_refused(state, bobs)
    assert not is_refused(state, mallorys)


def test_authenticate_token_from_before_the_consent_is_refused(cast: Cast, state: RunningState) -> None:
    earlier = timezone.now().replace(microsecond=0) - dt.timedelta(seconds=30)
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB, issued_at=earlier)
    assert is_refused(state, token)


def test_authenticate_after_a_new_consent_does_not_revive_old_tokens(cast: Cast, state: RunningState) -> None:
    earlier = timezone.now().replace(microsecond=0) - dt.timedelta(seconds=30)
    cast.delegation.granted_at = earlier
    cast.delegation.save()
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB, issued_at=earlier)
    assert not is_refused(state, token)
    revoke_delegation(delegation=cast.delegation, reason="test")
    grant_delegation(
        user=cast.alice, application=cast.pr_bot, scopes=["mcp:invoke"], resources=[GITHUB], redirect_host="127.0.0.1"
    )
    wait_until(lambda: is_refused(state, token))
    new, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, new)


def test_authenticate_past_the_end_of_a_consent_is_refused(cast: Cast, state: RunningState) -> None:
    cast.delegation.expires_at = timezone.now() + dt.timedelta(seconds=1)
    cast.delegation.save()
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, token)
    wait_until(lambda: is_refused(state, token), seconds=1.5)


def test_authenticate_application_of_another_organization_is_refused(cast: Cast, state: RunningState) -> None:
    """A token that names Acme's application and Globex, however it came to be signed."""
    _issue_to_mallory(cast)
    mixed = sign_access_token(
        make_access_token(
            application=cast.pr_bot,
            organization=cast.globex,
            user=cast.mallory,
            resource=GITHUB,
            scopes=("mcp:invoke",),
        )
    )
    assert is_refused(state, mixed)


def test_authenticate_person_who_never_consented_is_refused(cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, cast.bob, GITHUB)
    assert is_refused(state, token)


def test_authenticate_after_key_rotation_takes_old_and_new_tokens(cast: Cast, state: RunningState) -> None:
    old, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, old)
    rotate_signing_keys()
    forget_signing_key()
    new, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, new)
    assert not is_refused(state, old)


def test_authenticate_token_of_a_deleted_key_is_refused(cast: Cast, state: RunningState) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    assert not is_refused(state, token)
    SigningKey.objects.all().delete()
    wait_until(lambda: is_refused(state, token))


def _set(row: Any, **values: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**values)


def _issue_to_mallory(cast: Cast) -> str:
    make_delegation(cast.spy_bot, cast.mallory)
    return issue_token(cast.spy_bot, cast.mallory, GITHUB)[0]


def _make_toolkit_row(cast: Cast, token: str) -> None:
    get_access_token_model().objects.create(
        user=cast.alice,
        application=cast.pr_bot,
        token_checksum=get_checksum(token),
        expires=timezone.now() + dt.timedelta(minutes=10),
        scope="mcp:invoke",
    )


def test_authenticate_more_tokens_than_are_kept_forgets_the_oldest(
    cast: Cast, state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.authentication._MOST_TOKENS", 10)
    tokens = [issue_token(cast.pr_bot, cast.alice, GITHUB)[0] for _ in range(25)]
    for token in tokens:
        state.authenticate(token)
    assert len(state.runtime.authenticator._verified) <= 10
    assert state.authenticate(tokens[0]).user_id == str(cast.alice.pk)


def test_authenticate_keeps_no_token_and_forgets_the_expired(
    cast: Cast, state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = issue_token(cast.pr_bot, cast.alice, GITHUB)
    other, _ = issue_token(cast.pr_bot, cast.alice, f"{settings.GATEWAY_URL}/mcp")
    state.authenticate(token)
    authenticator = state.runtime.authenticator
    assert token not in repr(vars(authenticator))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)
    assert is_refused(state, other, f"{settings.GATEWAY_URL}/mcp")
    assert authenticator._verified == {}
