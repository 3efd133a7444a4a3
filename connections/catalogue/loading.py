"""Find the files, read them, and say what is wrong with each: the file, the field, and what to do."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from connections.catalogue.entries import REGISTRATIONS, Entry
from connections.catalogue.reading import UnreadableError, read_table
from connections.filling import KINDS, find_names
from connections.oauth.authorization import OURS
from connections.oauth.clients import AUTH_METHODS
from connections.oauth.dialect import Call, OAuth, Parameter

OWN_FOLDER = Path(__file__).parent / "services"
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
_AUTH_MODES = ("oauth", "user_token", "server_token", "none")
_SOURCES = ("operator", "token", "redirect", "account", "call")
# What else may stand in a template: the secrets of the moment, and fields of a key.
_MOMENT = {"token", "hint", "access_token", "refresh_token", "client_id", "client_secret", "basic"}
_CHOICES: dict[str, tuple[str, ...]] = {
    "scope_parameter": ("scope", "user_scope"),
    "client_auth": ("", *AUTH_METHODS),
    "token_format": ("form", "json"),
    "refresh_token": ("", "rotating", "static", "none"),
}

Problems = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Problem:
    file: Path
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field} {self.text}" if self.field else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What could be read, by slug, and what could not."""

    entries: Mapping[str, Entry]
    problems: tuple[Problem, ...]


def get_catalogue() -> Catalogue:
    """Return our own entries and those of the extra folder, which come first where both have one of a name."""
    folders = [OWN_FOLDER, *([Path(settings.CATALOGUE_DIR)] if settings.CATALOGUE_DIR else [])]
    return _load(tuple(_list_files(folders)))


def find_entry(slug: str) -> Entry | None:
    return get_catalogue().entries.get(slug)


def read_entry(file: Path) -> Entry:
    """Raises UnreadableError."""
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableError([("", f"is not TOML: {error}")]) from None
    if "slug" in table:
        raise UnreadableError([("slug", "is the file's name: remove it")])
    entry = replace(read_table(Entry, table), slug=file.stem)
    if problems := list(_check(entry)):
        raise UnreadableError(problems)
    return entry


def _list_files(folders: list[Path]) -> Iterator[tuple[Path, int]]:
    for folder in folders:
        if not folder.is_dir():
            yield folder, 0
        for file in sorted(folder.glob("*.toml")):
            yield file, file.stat().st_mtime_ns


@lru_cache(maxsize=4)
def _load(files: tuple[tuple[Path, int], ...]) -> Catalogue:
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for file, changed_at in files:
        if not changed_at:
            problems.append(Problem(file, "", "is not a folder: correct KONTEXT_CATALOGUE_DIR"))
            continue
        try:
            entries[file.stem] = read_entry(file)
        except UnreadableError as error:
            problems += [Problem(file, *problem) for problem in error.problems]
    return Catalogue(dict(sorted(entries.items())), tuple(problems))


def _check(entry: Entry) -> Problems:
    if not _SLUG.match(entry.slug):
        yield "", "must be named by lower-case letters, digits and hyphens, as in acme-desk.toml"
    for name in ("name", "category", "docs_url"):
        if not getattr(entry, name):
            yield name, "is empty: fill it"
    for mode in entry.auth_modes:
        if mode not in _AUTH_MODES:
            yield "auth_modes", f"holds {mode!r}: choose of {', '.join(_AUTH_MODES)}"
    if not entry.sources:
        yield "sources", "is empty: say where you know it from"
    if entry.confidence not in ("high", "medium", "low"):
        yield "confidence", "must be high, medium or low"
    if not entry.ways:
        yield "auth_modes", "lead nowhere: add an [mcp] or an [api] table with what the mode needs ([oauth], [key])"
    yield from _check_mcp(entry)
    yield from _check_oauth(entry)
    yield from _check_calls(entry)
    yield from _check_parameters(entry)
    yield from _check_templates(entry)


def _check_mcp(entry: Entry) -> Problems:
    if entry.mcp is None:
        return
    for name in (entry.mcp.registration, *entry.mcp.alternatives):
        if name not in REGISTRATIONS:
            yield "mcp.registration", f"holds {name!r}: choose of {', '.join(REGISTRATIONS)}"


def _check_oauth(entry: Entry) -> Problems:
    oauth = entry.oauth
    if oauth is None:
        return
    if bool(oauth.issuer) == bool(oauth.authorization_url and oauth.token_url):
        yield "oauth", "needs authorization_url and token_url, or issuer in their place"
    for name, choices in _CHOICES.items():
        if getattr(oauth, name) not in choices:
            yield f"oauth.{name}", f"must be {' or '.join(choice or 'left out' for choice in choices)}"
    for name in sorted(set(oauth.authorize_parameters) & OURS):
        yield f"oauth.authorize_parameters.{name}", "is Kontext's own: remove it"
    if not oauth.scope_separator:
        yield "oauth.scope_separator", "is empty: use a space or a comma"
    if oauth.lifetime is not None and oauth.lifetime <= 0:
        yield "oauth.lifetime", "must be seconds above 0: leave it out where tokens don't end"
    if "{token}" not in oauth.template:
        yield "oauth.template", "must hold {token}"
    for name in oauth.revocation.tokens if oauth.revocation else ():
        if name not in ("refresh_token", "access_token"):
            yield "oauth.revocation.tokens", "holds something else than refresh_token and access_token"


def _check_calls(entry: Entry) -> Problems:
    for place, call in _list_calls(entry):
        if sum(map(bool, (call.form, call.json, call.body))) > 1:
            yield place, "has more than one of form, json and body: keep one"
        if call.method not in ("GET", "POST"):
            yield f"{place}.method", "must be GET or POST"


def _check_parameters(entry: Entry) -> Problems:
    for name in sorted(_MOMENT & set(entry.parameters)):
        yield f"parameters.{name}", "has a name that is taken: choose another"
    for name, parameter in entry.parameters.items():
        yield from _check_parameter(f"parameters.{name}", parameter)
        if parameter.source == "account" and entry.account is None:
            yield f"parameters.{name}.source", "is account, but there is no [account] table: add it"


def _check_parameter(place: str, parameter: Parameter) -> Problems:
    if parameter.source not in _SOURCES:
        yield f"{place}.source", f"must be {' or '.join(_SOURCES)}"
    if parameter.kind not in KINDS:
        yield f"{place}.kind", f"must be {' or '.join(KINDS)}"
    if parameter.source == "operator" and not parameter.label:
        yield f"{place}.label", "is missing: say what the operator is to enter"
    if parameter.source != "operator" and not parameter.path:
        yield f"{place}.path", "is missing: say where in the answer it is"
    if (parameter.source == "call") != bool(parameter.url):
        yield f"{place}.url", "goes with the source call, and with no other"


def _check_templates(entry: Entry) -> Problems:
    known = _MOMENT | set(entry.parameters) | (set(entry.key.fields) if entry.key else set())
    for place, template in _list_templates(entry):
        for name in sorted(find_names(template) - known):
            yield place, f"holds {{{name}}}, which nothing fills: add [parameters.{name}]"
    for place, url in _list_urls(entry):
        if url and not url.startswith(("https://", "{", "postgresql://")):
            yield place, "must begin with https://"
    for place, header in _list_key_templates(entry):
        if not find_names(header) & ({"basic"} | (set(entry.key.fields) if entry.key else {"token"})):
            yield place, "must hold a field of the key, such as {token}, or {basic}"


def _list_calls(entry: Entry) -> Iterator[tuple[str, Call]]:
    if entry.account is not None:
        yield "account", entry.account
    if entry.key is not None and entry.key.check is not None:
        yield "key.check", entry.key.check


def _list_urls(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "docs_url", entry.docs_url
    yield from ((f"{name}.url", table.url) for name, table in (("mcp", entry.mcp), ("api", entry.api)) if table)
    yield from ((f"{place}.url", call.url) for place, call in _list_calls(entry))
    if entry.oauth is not None:
        yield from _list_oauth_urls(entry.oauth)
    if entry.key is not None:
        yield from (("key.url", entry.key.url), ("key.help_url", entry.key.help_url))
    for name, parameter in entry.parameters.items():
        yield f"parameters.{name}.url", parameter.url


def _list_oauth_urls(oauth: OAuth) -> Iterator[tuple[str, str]]:
    for name in ("authorization_url", "token_url", "refresh_url", "issuer"):
        yield f"oauth.{name}", getattr(oauth, name)
    if oauth.revocation is not None:
        yield "oauth.revocation.url", oauth.revocation.url


def _list_key_templates(entry: Entry) -> Iterator[tuple[str, str]]:
    if entry.key is not None:
        yield "key.template", entry.key.template
        if entry.mcp is not None:
            yield "mcp.key_template", entry.mcp.key_template


def _list_templates(entry: Entry) -> Iterator[tuple[str, str]]:
    yield from _list_urls(entry)
    yield from _list_key_templates(entry)
    if entry.key is not None:
        yield "key.basic", entry.key.basic
    for name, table in (("mcp", entry.mcp), ("api", entry.api)):
        if table is not None:
            yield from ((f"{name}.headers.{header}", template) for header, template in table.headers.items())
    for place, call in _list_calls(entry):
        yield from ((f"{place}.form.{name}", template) for name, template in call.form.items())
        yield from ((f"{place}.json.{name}", template) for name, template in call.json.items())
        yield f"{place}.authorization", call.authorization
    revocation = entry.oauth.revocation if entry.oauth is not None else None
    if revocation is not None:
        yield "oauth.revocation.authorization", revocation.authorization
        yield from ((f"oauth.revocation.form.{name}", text) for name, text in revocation.form.items())
        yield from ((f"oauth.revocation.json.{name}", text) for name, text in revocation.json.items())
