"""Replaying past calls by other rules: how long a million take, from the audit trail to the list of flips.

    python -m benchmarks.replay [--calls 1000000]

Starts a PostgreSQL of its own. The organization has 200 people in 20 groups, 20 applications and 50 capabilities at
five integrations, with rules whose conditions look at arguments; the past calls are decided by these rules, so each
event holds the explanation that it would. The draft takes one group's permission to write away, forbids a class, and
changes one application's condition.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import resource
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.audit_log import database

if TYPE_CHECKING:
    from orgs.models import Organization

_PEOPLE, _GROUPS, _APPLICATIONS, _INTEGRATIONS, _TOOLS = 200, 20, 20, 5, 10
_KLASSES = ("read", "read", "write", "write", "destructive")
# Every shape of a call is there once; the calls of a month are these, over and over.
_SHAPES = 20_000
_DAYS = 30
_INSERT = """
INSERT INTO audit_auditevent (
    id, organization_id, type, occurred_at, call, phase, outcome, user_id, user_name, application_id, application_name,
    integration_id, integration, capability, connection_id, account, session, request_id, trace_id, source_address,
    policy_version, decision, arguments_digest, latency_us, details)
SELECT uuidv7(age), %(organization)s, 'capability.invoked', now() + age, uuidv7(age),
    CASE WHEN effect = 'allow' THEN 'requested' ELSE 'denied' END, CASE WHEN effect = 'allow' THEN '' ELSE 'denied' END,
    "user", 'Person', application, 'Application', integration, slug, capability, NULL, '', '', '', '', '10.0.0.1',
    1, decision, md5(n::text) || md5(n::text), NULL, '{"method": "tools/call"}'
FROM (SELECT n, make_interval(secs => -n::float8 * %(seconds)s / %(calls)s) AS age
      FROM generate_series(1, %(calls)s) AS n) AS times
JOIN shapes ON shapes.number = times.n %% %(shapes)s
"""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with database():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        started = time.perf_counter()
        organization = _make_organization()
        _make_calls(organization, options.calls)
        made = time.perf_counter() - started
        print(f"replay: {options.calls:,} past calls of {_SHAPES:,} shapes, made in {made:.0f} s")
        _measure(organization, options.calls)
    print()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    return parser.parse_args(arguments)


def _measure(organization: Organization, calls: int) -> None:
    from django.utils import timezone

    from policy.documents import read_document, write_document
    from policy.services.replay import replay

    document = read_document(organization, _change(write_document(organization)))
    seen: list[tuple[int, int]] = []
    cpu, started = time.process_time(), time.perf_counter()
    found = replay(
        organization=organization,
        document=document,
        since=timezone.now() - dt.timedelta(days=_DAYS + 1),
        progress=lambda done, total: seen.append((done, total)),
    )
    elapsed, spent = time.perf_counter() - started, time.process_time() - cpu
    assert found.total == calls, found.total
    assert seen[-1] == (calls, calls), seen[-1]
    assert found.flips
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate = f"{calls / elapsed:,.0f} calls/s"
    print(f"  {elapsed:.1f} s ({spent:.1f} s of CPU), {rate}, at most {memory} MB, progress shown {len(seen)} times")
    print(f"  {found.same:,} as before, {found.flipped:,} would flip ({len(found.flips):,} lines), {found.open:,} open")


def _change(text: str) -> str:
    """Return the draft: the rules as exported, with three changes."""
    data = yaml.safe_load(text)
    by_group = {rule["group"]: rule for rule in data["rules"] if "group" in rule}
    by_group["group-0"]["effect"] = "deny"
    by_group["group-1"]["conditions"]["value"] = "acme/web"
    data["rules"].append({"layer": "org", "effect": "deny", "class": "destructive", "reason": "Nothing is destroyed"})
    return yaml.safe_dump(data)


def _make_organization() -> Organization:
    from connections.models import ApplicationIntegration, Capability, Integration
    from orgs.models import Application, Group, GroupMembership, Membership, User
    from orgs.services.create_organization import create_organization
    from policy.models import Rule

    organization = create_organization(name="Acme Corp", slug="acme")
    about = {"organization": organization}
    groups = Group.objects.bulk_create(Group(name=f"group-{n}", **about) for n in range(_GROUPS))
    people = User.objects.bulk_create(User(name=f"Person {n}", email=f"p{n}@acme.test") for n in range(_PEOPLE))
    Membership.objects.bulk_create(Membership(user=person, **about) for person in people)
    GroupMembership.objects.bulk_create(
        GroupMembership(group=groups[n % _GROUPS], user=person, **about) for n, person in enumerate(people)
    )
    applications = Application.objects.bulk_create(
        Application(name=f"Bot {n}", client_type="public", redirect_uris="http://127.0.0.1/", **about)
        for n in range(_APPLICATIONS)
    )
    integrations = Integration.objects.bulk_create(
        Integration(slug=f"service-{n}", name=f"Service {n}", url=f"https://s{n}.test/mcp", status="active", **about)
        for n in range(_INTEGRATIONS)
    )
    ApplicationIntegration.objects.bulk_create(
        ApplicationIntegration(application=application, integration=integration, **about)
        for application in applications
        for integration in integrations
    )
    Capability.objects.bulk_create(
        Capability(integration=integration, name=f"tool_{n}", klass=_KLASSES[n % len(_KLASSES)], **about)
        for integration in integrations
        for n in range(_TOOLS)
    )
    ours = {"argument": "repo", "operator": "starts_with", "value": "acme/"}
    rules = [Rule(layer="org", effect="allow", group=group, conditions=ours, **about) for group in groups]
    rules += [Rule(layer="user", effect="allow", user=person, **about) for person in people]
    small = {"argument": "count", "operator": "at_most", "value": 1000}
    rules += [
        Rule(layer="application", effect="allow", application=one, conditions=small, **about) for one in applications
    ]
    rules += [Rule(layer="org", effect="deny", capability="tool_9", conditions={"unless": ours}, **about)]
    Rule.objects.bulk_create(rules)
    # As if the rules and memberships had been there all the time that is replayed.
    before = Rule.objects.first().created_at - dt.timedelta(days=_DAYS + 2)  # type: ignore[union-attr]
    Rule.objects.update(updated_at=before)
    GroupMembership.objects.update(created_at=before)
    return organization


def _make_calls(organization: Organization, calls: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            'CREATE TEMPORARY TABLE shapes (number bigint, "user" uuid, application uuid, integration uuid, slug text,'
            " capability text, effect text, decision jsonb)"
        )
        cursor.executemany("INSERT INTO shapes VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", _make_shapes(organization))
        cursor.execute(
            _INSERT,
            {"organization": organization.pk, "calls": calls, "shapes": _SHAPES, "seconds": _DAYS * 86_400},
        )
        cursor.execute("ANALYZE audit_auditevent")


def _make_shapes(organization: Organization) -> list[tuple[Any, ...]]:
    from connections.models import Capability
    from orgs.models import Application, GroupMembership
    from policy import engine
    from policy.compile import load_policy

    policy = load_policy(organization.pk)
    chosen = random.Random(7)  # the same calls each time
    members = list(GroupMembership.objects.filter(organization=organization))
    applications = list(Application.objects.filter(organization=organization))
    tools = list(Capability.objects.filter(organization=organization).select_related("integration"))
    shapes = []
    for number in range(_SHAPES):
        member, application, tool = chosen.choice(members), chosen.choice(applications), chosen.choice(tools)
        call = engine.Call(
            user=str(member.user_id),
            groups=frozenset({str(member.group_id)}),
            application=str(application.pk),
            integration=str(tool.integration_id),
            capability=tool.name,
            klass=tool.klass,
            arguments={"repo": chosen.choice(["acme/web", "acme/api", "other/x"]), "count": chosen.choice([3, 5000])},
            now=time.time(),
        )
        explanation = policy.decide(call).explain()
        facts = (member.user_id, application.pk, tool.integration_id, tool.integration.slug, tool.name)
        shapes.append((number, *facts, explanation["effect"], json.dumps(explanation)))
    return shapes


if __name__ == "__main__":
    main()
