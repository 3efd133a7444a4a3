"""The endpoints of the HTTPS binding. A refusal is an answer (200); an error is what the request itself got wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast

from rest_framework import exceptions
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs.api.base import OnlyJSON
from orgs.api.errors import (
    AuthorizationRequiredError,
    ForbiddenError,
    ManagementError,
    TooManyRequestsError,
)
from orgs.api.parsers import StrictJSONParser
from orgs.limits import Limit, record_use
from policy.authzen import searches
from policy.authzen.authentication import Asker, DecisionAuthentication, InsufficientScopeError, make_challenge
from policy.authzen.decisions import answer, check_may_ask
from policy.authzen.paging import make_page
from policy.authzen.questions import ENTITIES, Question, check_defaults, read_question
from policy.authzen.world import World

# Decisions are asked for at every turn: a hundred a second for each application and person behind a token.
REQUESTS = Limit("decision-requests", uses=6000)
MOST_EVALUATIONS = 1000
_DEFAULTS = (*ENTITIES, "context")
# Which decision ends a batch early.
_ENDS: dict[str, bool | None] = {
    "execute_all": None,
    "deny_on_first_deny": False,
    "permit_on_first_permit": True,
}


class NotJSONError(ManagementError):
    """The specification knows 400 alone for this."""

    code = "kontext_unsupported_media_type"
    message = "Send the body as application/json."


class IsAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Asker)


class DecisionView(APIView):
    """A view behind a token for decisions. Unlike the management API, it ignores fields that it doesn't know."""

    authentication_classes = (DecisionAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = OnlyJSON
    metadata_class = None
    schema = None  # documented by its specification
    http_method_names = ["post"]

    @property
    def asker(self) -> Asker:
        return cast(Asker, self.request.auth)

    @property
    def data(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self.request.data)

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        asker = request.auth
        if isinstance(asker, Asker):
            wait = record_use(REQUESTS, f"{asker.application.pk}:{asker.user and asker.user.pk}")
            if wait:
                raise TooManyRequestsError(wait)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, exceptions.UnsupportedMediaType):
            exc = NotJSONError()
        response = super().handle_exception(exc)
        if isinstance(exc, AuthorizationRequiredError | InsufficientScopeError | exceptions.NotAuthenticated):
            response.headers["WWW-Authenticate"] = make_challenge(getattr(exc, "challenge", ""))
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answered: Response = super().finalize_response(request, response, *args, **kwargs)
        answered.headers["Cache-Control"] = "no-store"
        given = request.headers.get("X-Request-ID", "")
        # To the letter, as the specification wants it, whether or not we would name our own records so.
        if given and given.isascii() and given.isprintable():
            answered.headers["X-Request-ID"] = given
        return answered


class EvaluationView(DecisionView):
    def post(self, request: Request) -> Response:
        question = read_question(self.data)
        return Response(answer(World(self.asker.organization), self.asker, question))


class EvaluationsView(DecisionView):
    def post(self, request: Request) -> Response:
        data = self.data
        evaluations = _read_evaluations(data)
        end = _read_semantic(data)
        world = World(self.asker.organization)
        if not evaluations:
            return Response(answer(world, self.asker, read_question(data)))
        check_defaults(data)
        defaults = {name: data[name] for name in _DEFAULTS if name in data}
        answers = (self._answer(world, defaults, one) for one in evaluations)
        return Response({"evaluations": list(_until(end, answers))})

    def _answer(self, world: World, defaults: Mapping[str, Any], evaluation: Any) -> dict[str, Any]:
        """Return a decision; for an evaluation that is wrong in itself, no, and what is wrong."""
        try:
            if not isinstance(evaluation, dict):
                raise exceptions.ValidationError({"evaluation": ["This is an object."]})
            return answer(world, self.asker, read_question({**defaults, **evaluation}))
        except exceptions.ValidationError as error:
            described = {"status": 400, "code": ManagementError.code, "fields": error.detail}
        except ForbiddenError as error:
            described = {"status": error.status_code, "code": error.code, "message": error.message}
        return {"decision": False, "context": {"error": described}}


_SEARCHES: Mapping[str, Callable[[World, Asker, Question], list[searches.Found]]] = {
    "subject": searches.search_subjects,
    "resource": searches.search_resources,
    "action": searches.search_actions,
}


class SearchView(DecisionView):
    """A search for one of the three; `sought` says which."""

    sought: ClassVar[str]

    def post(self, request: Request) -> Response:
        question = read_question(self.data, sought=self.sought)
        world = World(self.asker.organization)
        check_may_ask(world, self.asker, question)
        found = _SEARCHES[self.sought](world, self.asker, question)
        return Response(make_page(found, data=self.data, asker=self.asker, path=request.path))


class SubjectSearchView(SearchView):
    sought = "subject"


class ResourceSearchView(SearchView):
    sought = "resource"


class ActionSearchView(SearchView):
    sought = "action"


def _read_evaluations(data: Mapping[str, Any]) -> list[Any]:
    evaluations = data.get("evaluations", [])
    if not isinstance(evaluations, list):
        raise exceptions.ValidationError({"evaluations": ["This is a list."]})
    if len(evaluations) > MOST_EVALUATIONS:
        raise exceptions.ValidationError({"evaluations": [f"At most {MOST_EVALUATIONS} fit into one request."]})
    return evaluations


def _read_semantic(data: Mapping[str, Any]) -> bool | None:
    options = data.get("options", {})
    if not isinstance(options, dict):
        raise exceptions.ValidationError({"options": ["This is an object."]})
    semantic = options.get("evaluations_semantic", "execute_all")
    if not isinstance(semantic, str) or semantic not in _ENDS:
        raise exceptions.ValidationError({"options.evaluations_semantic": [f"This is {', '.join(_ENDS)}."]})
    return _ENDS[semantic]


def _until(end: bool | None, answers: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield answers up to and including the first one that is `end`."""
    for one in answers:
        yield one
        if one["decision"] is end:
            return
