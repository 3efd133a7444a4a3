"""A policy enforcement point: an application's own token, and the endpoints it speaks to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from orgs.models import Application, User
from orgs.oauth.resources import get_decision_resource
from tests.factories import issue_token


@dataclass(frozen=True)
class Answer:
    status: int
    json: Any
    headers: Any

    @property
    def decision(self) -> bool:
        assert self.status == 200, self.json
        decision = self.json["decision"]
        assert isinstance(decision, bool)
        return decision

    @property
    def ids(self) -> list[str]:
        assert self.status == 200, self.json
        return [found.get("id") or found["name"] for found in self.json["results"]]


@dataclass(frozen=True)
class Pdp:
    """Speaks to /access/v1 with one token."""

    token: str = field(repr=False)

    def post(
        self, path: str, body: Any, *, content_type: str = "application/json", headers: dict[str, str] | None = None
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        response = Client(raise_request_exception=False).generic(
            "POST", f"/access/v1/{path}", data, content_type, headers={**authorization, **(headers or {})}
        )
        return Answer(response.status_code, json.loads(response.content), response.headers)

    def evaluate(self, body: Any, **options: Any) -> Answer:
        return self.post("evaluation", body, **options)

    def evaluate_all(self, body: Any) -> list[bool]:
        answer = self.post("evaluations", body)
        assert answer.status == 200, answer.json
        return [one["decision"] for one in answer.json["evaluations"]]

    def search(self, sought: str, body: Any) -> Answer:
        return self.post(f"search/{sought}", body)


def make_pdp(application: Application, user: User | None = None) -> Pdp:
    return Pdp(issue_token(application, user, get_decision_resource(), scopes=("access:evaluate",))[0])
