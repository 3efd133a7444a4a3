"""Try rules on the calls of the past."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from audit.services.record import Actor
from orgs.models import Organization
from policy.compile import load_engine_rules, load_policy
from policy.documents import Document
from policy.models import Rule
from policy.replay import Draft, Progress, Replay, replay_calls
from policy.services.apply_document import apply_document

_ACTOR = Actor(user_name="replay")


def replay(
    *,
    organization: Organization,
    document: Document | None,
    since: dt.datetime,
    at_most: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Replay:
    """Return which past decisions would be others by a document's rules, or by the stored ones. Changes nothing.

    With `at_most`, the latest calls alone are looked at.
    What people have said in their own layer counts as it is stored. Raises DocumentError.
    """
    draft = load_draft(organization, document)
    return replay_calls(organization, draft, since=since, at_most=at_most, progress=progress)


def load_draft(organization: Organization, document: Document | None) -> Draft:
    """Return the rules as they would be once the document was applied, which is taken back at once."""
    # Not held while the trail is read: it would make every change in the organization wait for that.
    with transaction.atomic():
        if document is not None:
            apply_document(organization=organization, document=document, actor=_ACTOR)
        draft = Draft(
            policy=load_policy(organization.pk),
            rules=tuple(load_engine_rules(organization.pk)[0]),
            changed_at=_load_changes(organization.pk),
        )
        transaction.set_rollback(True)
    return draft


def _load_changes(organization_id: UUID) -> dict[str, float]:
    rows = Rule.objects.for_organization(organization_id).enabled().values_list("id", "updated_at")
    return {str(key): at.timestamp() for key, at in rows}
