"""Who may, what may they, and what may be done: each candidate is decided, and those that are allowed are found.

What needs an approval is not found: asking about it would be answered with no.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy import engine
from policy.authzen import decisions
from policy.authzen.authentication import Asker
from policy.authzen.questions import Action, Entity, Question
from policy.authzen.world import World

Found = dict[str, str]


def search_subjects(world: World, asker: Asker, question: Question) -> list[Found]:
    if question.subject.type == decisions.APPLICATION_TYPE:
        named = [program.name for program in world.list_programs()]
    elif question.subject.type in decisions.PERSON_TYPES:
        named = [person.name for person in world.list_people()]
    else:
        return []
    subjects = (replace(question.subject, id=name) for name in named)
    questions = (replace(question, subject=subject) for subject in subjects)
    return [_write(one.subject) for one in questions if _is_allowed(world, asker, one)]


def search_resources(world: World, asker: Asker, question: Question) -> list[Found]:
    """Find tools; of anything else, those that rules name, since nobody tells us what else there is."""
    resources = (replace(question.resource, id=name) for name in _list_resources(world, asker, question))
    questions = (replace(question, resource=resource) for resource in resources)
    return [_write(one.resource) for one in questions if _is_allowed(world, asker, one)]


def search_actions(world: World, asker: Asker, question: Question) -> list[Found]:
    if question.resource.type == decisions.TOOL_TYPE:
        names = [decisions.TOOL_ACTION]
    else:
        names = [tool.name for tool in world.tools.values() if tool.slug == question.resource.type]
    questions = (replace(question, action=Action(name, {})) for name in names)
    return [{"name": one.action.name} for one in questions if _is_allowed(world, asker, one)]


def _is_allowed(world: World, asker: Asker, question: Question) -> bool:
    try:
        return _decide(world, asker, question).is_allowed
    except decisions.UnknownError:
        return False


def _decide(world: World, asker: Asker, question: Question) -> engine.Decision:
    party = decisions.find_party(world, asker, question)
    return world.policy.decide(decisions.make_call(party, decisions.find_tool(world, party, question), question))


def _list_resources(world: World, asker: Asker, question: Question) -> Iterator[str]:
    if question.resource.type == decisions.TOOL_TYPE:
        yield from (f"{tool.slug}:{tool.name}" for tool in world.tools.values())
        return
    try:
        party = decisions.find_party(world, asker, question)
        call = decisions.make_call(party, decisions.find_tool(world, party, question), question)
    except decisions.UnknownError:
        return
    yield from world.policy.list_compared_texts(call, ("resource", "id"))


def _write(entity: Entity) -> Found:
    return {"type": entity.type, "id": entity.id}
