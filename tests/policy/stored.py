"""The decision tables as an organization's rows, for every path to a decision that reads the database.

Rows that want a person in other groups, or a capability in another class, than the rows before them can't share an
organization: `split` says which can.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from connections.models import Capability
from orgs.models import GroupMembership, Organization
from policy.engine import Call
from policy.models import Baseline
from policy.services.create_rule import create_rule
from tests.factories import (
    allow_integration,
    make_application,
    make_capability,
    make_group,
    make_integration,
    make_member,
)
from tests.policy.golden import Row, Table

# Rows, by table, that no wire can carry: JSON has neither infinite numbers nor what is no number, and nobody but the
# counter says that a limit is used up.
NOT_JSON = {"numbers": 6, "limits": 8}

_REFERENCES = ("user", "group", "application", "integration")


class StoredTable:
    """A table's rules and baselines in an organization. `written` leads from stored rules to the table's."""

    def __init__(self, organization: Organization, table: Table, **integration: Any) -> None:
        self.organization = organization
        self._integration = integration
        self._rows: dict[tuple[str, str], Any] = {}
        self.written = {self._store(rule): rule.id for rule in table.rules}
        for layer, effect in table.baselines.items():
            Baseline.objects.create(organization=organization, layer=layer, effect=effect)

    def find(self, kind: str, name: str | None) -> Any:
        """Return the row that a name stands for, made when it is first needed."""
        if name is None:
            return None
        if (kind, name) not in self._rows:
            self._rows[kind, name] = self._make(kind, name)
        return self._rows[kind, name]

    def prepare(self, call: Call) -> None:
        """Make what a call needs: memberships, the capability, and that the application may use the integration."""
        application = self.find("application", call.application)
        integration = self.find("integration", call.integration)
        if not application.application_integrations.filter(integration=integration).exists():
            allow_integration(application, integration)
        if not Capability.objects.filter(integration=integration, name=call.capability).exists():
            make_capability(integration, call.capability, klass=call.klass)
        for name in call.groups:
            membership = {"group": self.find("group", name), "user": self.find("user", call.user)}
            GroupMembership.objects.get_or_create(organization=self.organization, **membership)

    def name_rules(self, explanation: dict[str, Any]) -> dict[str, Any]:
        """Return an explanation with the table's names of rules in place of the stored ones."""
        layers = [
            {**layer, "rules": [{**rule, "id": self.written[rule["id"]]} for rule in layer["rules"]]}
            for layer in explanation["layers"]
        ]
        return {**explanation, "layers": layers}

    def _make(self, kind: str, name: str) -> Any:
        match kind:
            case "user":
                return make_member(self.organization, name.title())
            case "group":
                return make_group(self.organization, name)
            case "application":
                return make_application(self.organization, name)
        return make_integration(self.organization, name, **self._integration)

    def _store(self, rule: Any) -> str:
        stored = create_rule(
            organization=self.organization,
            layer=rule.layer,
            effect=rule.effect,
            capability=rule.capability,
            klass=rule.klass,
            conditions=rule.conditions,
            reason=rule.reason,
            valid_from=_moment(rule.valid_from),
            valid_until=_moment(rule.valid_until),
            limit_count=rule.limit.count if rule.limit else None,
            limit_period=rule.limit.period if rule.limit else "",
            limit_per=rule.limit.per if rule.limit else "",
            mode="shadow" if rule.is_shadow else "enforce",
            author=None,
            **{kind: self.find(kind, getattr(rule, kind)) for kind in _REFERENCES},
        )
        return str(stored.pk)


def is_json(call: Call) -> bool:
    """Tell whether JSON can say the call's arguments: see NOT_JSON."""
    try:
        return bool(json.dumps(call.arguments, allow_nan=False))
    except ValueError:
        return False


def split(table: Table) -> Iterator[list[Row]]:
    """Yield the rows that can be asked over a wire, in parts that can share an organization."""
    part: list[Row] = []
    facts: dict[object, object] = {}
    for row in table.rows:
        call = row.call
        if not is_json(call) or call.spent:
            continue
        needed: dict[object, object] = {(call.integration, call.capability): call.klass}
        if call.user is not None:
            needed[call.user] = call.groups
        if any(facts.get(key, value) != value for key, value in needed.items()):
            yield part
            part, facts = [], {}
        part.append(row)
        facts |= needed
    yield part


def _moment(seconds: float | None) -> Any:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)
