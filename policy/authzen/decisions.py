"""From a question to an answer.

Two kinds of resources can be asked about:

- `{"type": "tool", "id": "github:create_issue"}` with the action `tools/call`: a capability, as COAZ-MCP writes it.
  `action.properties` are the call's arguments, exactly, so the answer is the gateway's.
- anything else, `{"type": "todo", "id": "1"}` with the action `delete`: the capability `delete` of the integration
  with the slug `todo`. Rules find `resource.id` and the resource's properties under `resource.`, the subject's under
  `subject.`, and the action's as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import ValidationError

from orgs.api.errors import ForbiddenError
from policy import engine
from policy.authzen.authentication import Asker
from policy.authzen.questions import Question
from policy.authzen.world import Person, Program, Tool, World

PERSON_TYPES = ("user", "identity")
APPLICATION_TYPE = "application"
TOOL_TYPE, TOOL_ACTION = "tool", "tools/call"
# What an argument of an action can't be called where the resource is not a tool.
_RESERVED = ("resource", "subject")


@dataclass(frozen=True, slots=True)
class Party:
    """Who is asked about. Without a person the application acts on its own."""

    person: Person | None
    program: Program


class UnknownError(Exception):
    """What is asked about isn't there or can't be used: nobody may. `text` says what, `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def answer(world: World, asker: Asker, question: Question) -> dict[str, Any]:
    """Return `decision` and `context`. Raises ForbiddenError for whom the asker may not ask about."""
    check_may_ask(world, asker, question)
    try:
        party = find_party(world, asker, question)
        decision = world.policy.decide(make_call(party, find_tool(world, party, question), question))
    except UnknownError as error:
        return {"decision": False, "context": _describe_unknown(error)}
    return {"decision": decision.is_allowed, "context": _describe(decision)}


def check_may_ask(world: World, asker: Asker, question: Question) -> None:
    """Without a role that reads, a person may ask about themselves, and their application about itself."""
    if asker.may_ask_about_anyone:
        return
    subject = question.subject
    if subject.type in PERSON_TYPES:
        person = world.find_person(subject.id) if subject.id else None
        if person is not None and asker.user is not None and person.id == str(asker.user.pk):
            return
    elif subject.type == APPLICATION_TYPE and subject.id in (asker.application.client_id, str(asker.application.pk)):
        return
    raise ForbiddenError("You may ask about yourself alone: for others, a role that reads the rules is needed.")


def find_party(world: World, asker: Asker, question: Question) -> Party:
    subject = question.subject
    if subject.type == APPLICATION_TYPE:
        return Party(None, find_program(world, subject.id))
    if subject.type not in PERSON_TYPES:
        raise UnknownError("kontext_unknown_subject", f"There is no type of subject called {subject.type[:80]!r}.")
    person = world.find_person(subject.id)
    if person is None:
        raise UnknownError("kontext_unknown_subject", "There is no such active person in the organization.")
    return Party(person, find_agent(world, asker, question))


def find_agent(world: World, asker: Asker, question: Question) -> Program:
    """Return the application that acts for a person: the one that is named, or else the one that asks."""
    agent = question.circumstances.agent
    if not agent and asker.is_managing:
        text = "Name the application that acts for the subject, by its client ID: yours only manages."
        raise ValidationError({"context.agent": [text]})
    return find_program(world, agent or asker.application.client_id)


def find_program(world: World, name: str) -> Program:
    program = world.find_program(name)
    if program is None:
        raise UnknownError("kontext_unknown_application", "There is no such active application in the organization.")
    return program


def find_tool(world: World, party: Party, question: Question) -> Tool:
    """Return the capability that the action and the resource name, if the application may use it at all."""
    slug, name = question.resource.type, question.action.name
    if slug == TOOL_TYPE:
        if name != TOOL_ACTION:
            raise UnknownError("kontext_capability_unavailable", f"The action on a tool is {TOOL_ACTION}.")
        slug, _, name = question.resource.id.partition(":")
    check_integration(world, party, slug)
    tool = world.tools.get((slug, name))
    if tool is None:
        raise UnknownError("kontext_capability_unavailable", f"{slug[:80]} has no capability {name[:80]!r} to use now.")
    return tool


def check_integration(world: World, party: Party, slug: str) -> None:
    if world.integrations.get(slug) not in party.program.integrations:
        text = f"There is no integration {slug[:80]!r} that this application may use: ask an administrator to allow it."
        raise UnknownError("kontext_not_found", text)


def make_call(party: Party, tool: Tool, question: Question) -> engine.Call:
    return engine.Call(
        user=party.person.id if party.person else None,
        groups=party.person.groups if party.person else frozenset(),
        application=party.program.id,
        integration=tool.integration,
        capability=tool.name,
        klass=tool.klass,
        arguments=_make_arguments(question),
        now=question.circumstances.at.timestamp(),
        source_address=question.circumstances.address,
    )


def _make_arguments(question: Question) -> Mapping[str, Any]:
    given = question.action.properties
    if question.resource.type == TOOL_TYPE:
        return given
    if taken := [name for name in _RESERVED if name in given]:
        text = f"Rules find the {taken[0]} under this name: call the action's own property something else."
        raise ValidationError({f"action.properties.{taken[0]}": [text]})
    resource = {**question.resource.properties, "id": question.resource.id}
    return {**given, "resource": resource, "subject": dict(question.subject.properties)}


def _describe(decision: engine.Decision) -> dict[str, Any]:
    """Return the context of a decision: why, for the person and for the administrator, and all of it for programs."""
    explanation = decision.explain()
    fix = explanation["fix"]
    for_programs = {"effect": str(decision.effect), "code": _CODES[decision.effect], "explanation": explanation}
    if decision.is_allowed:
        return {"kontext": {name: value for name, value in for_programs.items() if value}}
    sentence = explanation["sentence"]
    return {
        "reason_user": {"403": sentence},
        "reason_admin": {"403": f"{sentence} {fix['sentence']}" if fix else sentence},
        "kontext": for_programs,
    }


_CODES = {
    engine.Effect.ALLOW: "",
    engine.Effect.DENY: "kontext_policy_denied",
    engine.Effect.ASK: "kontext_approval_required",
}


def _describe_unknown(error: UnknownError) -> dict[str, Any]:
    reason = {"403": error.text}
    return {"reason_user": reason, "reason_admin": reason, "kontext": {"effect": "deny", "code": error.code}}
