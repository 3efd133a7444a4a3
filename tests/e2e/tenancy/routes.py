"""Every URL pattern of the installation, and Acme's identifiers to put into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.apps import apps
from django.db import models
from django.urls import URLPattern, URLResolver, get_resolver

PARAMETER = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>|\(\?P<(?P<group>\w+)>(?P<expression>[^)]*)\)")
# Parameters that say in which form an answer comes, not whose it is.
HARMLESS = {"format": ("json",), "extra_context": ("x",), "url": ("x",), "path": ("x",), "app_label": ("orgs",)}
# Parameters whose values are fixed by the software.
NAMED = {
    "backend": ("oidc", "kontext-oidc"),
    "name": ("github",),
    "layer": ("org", "user", "application"),
    "begin_with": ("read_only", "none"),
    # Of a log that is witnessed: the operator's to list, and no organization's.
    "origin_hash": ("0" * 64,),
}


@dataclass(frozen=True)
class Route:
    """One pattern, joined from the root, with `{name}` where a parameter stands."""

    template: str
    name: str
    namespaces: tuple[str, ...] = field(default=())

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.template)

    @property
    def has_identifier(self) -> bool:
        return any(_is_identifier(name) or "slug" in name for name in self.parameters)

    def __str__(self) -> str:
        return self.template


def all_routes() -> list[Route]:
    return sorted(set(_walk(get_resolver(), "", ())), key=str)


def fill(route: Route, rows: dict[str, models.Model]) -> Iterator[str]:
    """Every address this pattern gives with Acme's identifiers. Fails for a parameter nobody can fill."""
    names = route.parameters
    values = {name: _candidates(name, route, rows) for name in names}
    rounds = max((len(options) for options in values.values()), default=1)
    for turn in range(rounds):
        yield route.template.format(**{name: values[name][turn % len(values[name])] for name in names})


def _walk(resolver: URLResolver, prefix: str, namespaces: tuple[str, ...]) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        template = prefix + _template(entry)
        if isinstance(entry, URLPattern):
            yield Route("/" + template.lstrip("/"), entry.name or "", namespaces)
        else:
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from _walk(entry, template, inner)


def _template(entry: URLPattern | URLResolver) -> str:
    text = PARAMETER.sub(lambda found: "{%s}" % (found["name"] or found["group"]), str(entry.pattern))
    return re.sub(r"\\(.)", r"\1", text.replace("^", "").replace("$", "").replace(r"\Z", "").replace("/?", "/"))


def _candidates(name: str, route: Route, rows: dict[str, models.Model]) -> list[str]:
    if name in NAMED | HARMLESS and not _is_identifier(name):
        return list((NAMED | HARMLESS)[name])
    if "slug" in name:
        return _attributes(rows, "slug")
    if name == "client_id":
        return _attributes(rows, "client_id")
    if not _is_identifier(name):
        raise AssertionError(f"no way to fill {{{name}}} in {route}: add it to tests/e2e/tenancy/routes.py")
    model = _admin_model(route) or _model_named(name)
    # A key of several columns is in no address.
    addressed = [row for row in rows.values() if not isinstance(row.pk, tuple)]
    chosen = [rows[model]] if model in rows else addressed[: 3 if model else None]
    return [str(row.pk) for row in chosen]


def _is_identifier(name: str) -> bool:
    return name in ("pk", "id", "uuid", "object_id", "token", "key", "session") or name.endswith(
        ("_id", "_pk", "_uuid")
    )


def _attributes(rows: dict[str, models.Model], name: str) -> list[str]:
    return [str(getattr(row, name)) for row in rows.values() if hasattr(row, name)]


def _admin_model(route: Route) -> str | None:
    """The model an admin page is about: its name is `<app>_<model>_change` and the like."""
    if "admin" not in route.namespaces:
        return None
    for model in apps.get_models():
        if route.name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return model._meta.label
    return None


def _model_named(parameter: str) -> str | None:
    stem = re.sub(r"_(id|pk|uuid)$", "", parameter).replace("_", "")
    return next((model._meta.label for model in apps.get_models() if model._meta.model_name == stem), None)
