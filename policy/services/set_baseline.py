"""Say what a layer says when none of its rules does."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import Organization
from policy.models import Baseline, Effect, Layer


def set_baseline(*, organization: Organization, layer: str, effect: str | None, actor: Actor | None = None) -> None:
    """Set a layer's baseline, or with None return to denying what no rule allows. Raises ValidationError."""
    _check_choice("layer", layer, Layer.values)
    if effect is not None:
        _check_choice("effect", effect, Effect.values)
    with transaction.atomic():
        # One at a time in an organization: there may be no row yet to lock.
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        former = Baseline.objects.for_organization(organization).filter(layer=layer).first()
        if (former.effect if former else None) == effect:
            return
        if effect is None:
            Baseline.objects.for_organization(organization).filter(layer=layer).delete()
        else:
            Baseline.objects.update_or_create(organization=organization, layer=layer, defaults={"effect": effect})
        record_event(
            type=EventType.BASELINE_CHANGED,
            organization_id=organization.pk,
            actor=actor or make_actor(),
            details={"layer": layer, "changed": {"effect": [former.effect if former else None, effect]}},
        )


def _check_choice(name: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        raise ValidationError({name: [f"Choose one of {', '.join(choices)}."]})
