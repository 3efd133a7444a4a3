"""From stored rules to the engine's, in a handful of queries however many there are."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from connections.models import Integration
from orgs.models import Application, SnapshotVersion
from policy import engine
from policy.describe import Wording, describe, make_limit
from policy.models import Baseline, Rule

_COLUMNS = (
    *("id", "layer", "effect", "user_id", "group_id", "application_id", "integration_id", "capability", "klass"),
    *("conditions", "reason", "valid_from", "valid_until", "mode"),
    *("limit_count", "limit_period", "limit_per"),
    *("user__name", "user__email", "user__username", "group__name", "application__name"),
    *("integration__name", "integration__slug"),
)

# Compiled policies of the organizations that asked last, the latest at the end.
_kept: dict[UUID, engine.Policy] = {}
_MOST_KEPT = 20
_lock = threading.Lock()


def load_policy(organization_id: UUID, *, draft: engine.Rule | None = None) -> engine.Policy:
    """Return what an organization's enabled rules say, compiled. `version` is that of the snapshot it belongs to.

    A `draft` counts besides them, and in place of the stored rule with its identifier.
    """
    # The version comes first: a change in between makes the rules newer than it says, and is then loaded once more.
    version = SnapshotVersion.objects.filter(pk=organization_id).values_list("version", flat=True).first()
    rows = _load_rows(organization_id)
    # Sentences are made when an explanation needs them: making them all would take as long as compiling the rules.
    wordings = {str(row["id"]): _make_wording(row) for row in rows}
    rules = [_make_rule(row) for row in rows if draft is None or str(row["id"]) != draft.id]
    return engine.compile_policy(
        [*rules, *([draft] if draft is not None else [])],
        baselines=_load_baselines(organization_id),
        version=version or 0,
        names=_load_names(organization_id),
        describe=lambda rule: describe(wordings[rule.id]),
    )


def load_current_policy(organization_id: UUID) -> engine.Policy:
    """Return the same as load_policy, compiled anew only when something has changed since the last time.

    Not for transactions that will be rolled back: the version that they reach will be reached once more, by others.
    """
    version = SnapshotVersion.objects.filter(pk=organization_id).values_list("version", flat=True).first()
    kept = _kept.get(organization_id)
    if kept is None or kept.version != version:
        kept = load_policy(organization_id)
    with _lock:
        _kept.pop(organization_id, None)
        _kept[organization_id] = kept
        if len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
    return kept


def load_engine_rules(organization_id: UUID) -> tuple[list[engine.Rule], dict[engine.Layer, engine.Effect]]:
    """Return an organization's enabled rules, with their sentences, and its baselines as the engine takes them."""
    rows = _load_rows(organization_id)
    return [_make_rule(row, describe(_make_wording(row))) for row in rows], _load_baselines(organization_id)


def load_described_rules(
    organization_id: UUID,
) -> tuple[list[engine.Rule], dict[engine.Layer, engine.Effect], Callable[[engine.Rule], str]]:
    """Return the same without sentences, and what makes the sentence of one of them."""
    rows = _load_rows(organization_id)
    wordings = {str(row["id"]): _make_wording(row) for row in rows}
    rules = [_make_rule(row) for row in rows]
    return rules, _load_baselines(organization_id), lambda rule: describe(wordings[rule.id])


def make_draft(rule: Rule) -> engine.Rule:
    """Return a rule that need not be stored as the engine takes it."""
    columns = {name: _read(rule, name) for name in _COLUMNS}
    return _make_rule(columns, describe(_make_wording(columns)))


def _read(rule: Rule, name: str) -> Any:
    """Follow a column's name through relations, as a query would."""
    value: Any = rule
    for part in name.split("__"):
        value = getattr(value, part, None)
    return value


def _load_rows(organization_id: UUID) -> list[dict[str, Any]]:
    return list(Rule.objects.for_organization(organization_id).enabled().order_by("id").values(*_COLUMNS))


def _make_rule(row: dict[str, Any], sentence: str = "") -> engine.Rule:
    return engine.Rule(
        id=str(row["id"]),
        layer=engine.Layer(row["layer"]),
        effect=engine.Effect(row["effect"]),
        user=_text(row["user_id"]),
        group=_text(row["group_id"]),
        application=_text(row["application_id"]),
        integration=_text(row["integration_id"]),
        capability=row["capability"],
        klass=row["klass"],
        conditions=row["conditions"],
        reason=row["reason"],
        valid_from=_seconds(row["valid_from"]),
        valid_until=_seconds(row["valid_until"]),
        is_shadow=row["mode"] == Rule.Mode.SHADOW,
        limit=make_limit(row["limit_count"], row["limit_period"], row["limit_per"]),
        sentence=sentence,
    )


def _make_wording(row: dict[str, Any]) -> Wording:
    return Wording(
        layer=row["layer"],
        effect=row["effect"],
        user=row["user__name"] or row["user__email"] or row["user__username"] or "",
        group=row["group__name"] or "",
        application=row["application__name"] or "",
        integration=row["integration__name"] or "",
        integration_slug=row["integration__slug"] or "",
        capability=row["capability"],
        klass=row["klass"],
        conditions=row["conditions"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        limit=make_limit(row["limit_count"], row["limit_period"], row["limit_per"]),
        is_shadow=row["mode"] == Rule.Mode.SHADOW,
    )


def _load_baselines(organization_id: UUID) -> dict[engine.Layer, engine.Effect]:
    rows = Baseline.objects.for_organization(organization_id).values_list("layer", "effect")
    return {engine.Layer(layer): engine.Effect(effect) for layer, effect in rows}


def _load_names(organization_id: UUID) -> dict[str, str]:
    """Return how explanations call applications and integrations."""
    applications = Application.objects.for_organization(organization_id).values_list("id", "name")
    integrations = Integration.objects.for_organization(organization_id).values_list("id", "slug")
    return {str(key): name for rows in (applications, integrations) for key, name in rows}


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)


def _seconds(moment: dt.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
