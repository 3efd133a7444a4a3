"""From an entry and what an operator says to an integration: everything filled in that is known now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from connections.catalogue.entries import Entry, Way
from connections.catalogue.reading import read_stored, read_table, write_table
from connections.filling import check_kind, fill, find_names
from connections.models import Integration, OAuthClient
from connections.oauth.dialect import STANDARD, Dialect, Parameter

CATEGORIES = {
    "mcp": Integration.Category.GATEWAY_REMOTE_MCP,
    "api": Integration.Category.INTERNAL_MCP_CREDENTIALS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What the rows of an integration hold, and its dialect where it has an authorization server of its own."""

    fields: Mapping[str, Any]
    dialect: Dialect | None = field(default=None)


def find_way(entry: Entry, *, use: str = "", auth_mode: str = "") -> Way:
    """Return the first way that fits. Raises ValidationError, with what there is."""
    for way in entry.ways:
        if use in ("", way.use) and auth_mode in ("", way.auth_mode):
            return way
    offered = ", ".join(f"{way.use} with {way.auth_mode}" for way in entry.ways)
    raise ValidationError({"auth_mode": f"{entry.name} can be used in these ways: {offered}."})


def adopt(entry: Entry, way: Way, parameters: Mapping[str, str]) -> Adoption:
    """Raises ValidationError, keyed by parameter."""
    values = _check_parameters(entry, way, parameters)
    url = fill(entry.find_url(way), values)
    fields: dict[str, Any] = {
        "url": url,
        "category": CATEGORIES[way.use],
        "auth_mode": way.auth_mode,
        "catalogue_entry": entry.slug,
        "catalogue_digest": entry.digest,
        "parameters": values,
        **_get_key_fields(entry, way, values),
    }
    if way.auth_mode != Integration.AuthMode.OAUTH:
        return Adoption(fields=fields)
    dialect = _make_dialect(entry, way, values)
    has_server = way.use == "api" and bool(dialect.oauth.authorization_url)
    fields["dialect"] = write_table(dialect) if dialect != STANDARD else {}
    return Adoption(fields=fields, dialect=dialect if has_server else None)


def read_dialect(integration: Integration) -> Dialect:
    return read_stored(Dialect, integration.dialect) if integration.dialect else STANDARD


def get_dialect(server: OAuthClient) -> Dialect:
    """Return how this authorization server departs from the standards: what is known of another one doesn't count."""
    dialect = read_dialect(server.integration)
    known = dialect.oauth.token_url
    if dialect.oauth.issuer:
        return dialect if dialect.oauth.issuer == server.issuer else STANDARD
    return dialect if known and urlsplit(known)[:2] == urlsplit(server.token_endpoint)[:2] else STANDARD


def _check_parameters(entry: Entry, way: Way, given: Mapping[str, str]) -> dict[str, str]:
    problems = dict.fromkeys(set(given) - set(entry.parameters), "This service has no such parameter.")
    values: dict[str, str] = {}
    asked = entry.find_asked(way)
    for name, parameter in entry.parameters.items():
        value = given.get(name, "").strip() or parameter.default
        if not value and name in asked:
            problems[name] = f"Enter it: {parameter.label or name}."
        if value:
            values[name] = value
            problems |= _find_fault(name, parameter, value)
    if problems:
        raise ValidationError(problems)
    return values


def _find_fault(name: str, parameter: Parameter, value: str) -> dict[str, str]:
    try:
        check_kind(value, parameter.kind)
    except ValueError as error:
        return {name: f"{parameter.label or name}: {error}."}
    return {}


def _get_key_fields(entry: Entry, way: Way, values: Mapping[str, str]) -> dict[str, Any]:
    headers = (entry.mcp.headers if entry.mcp else {}) if way.use == "mcp" else (entry.api.headers if entry.api else {})
    is_key = way.auth_mode in (Integration.AuthMode.USER_TOKEN, Integration.AuthMode.SERVER_TOKEN)
    told = set() if is_key else {name for name, parameter in entry.parameters.items() if parameter.source != "operator"}
    key = entry.key if is_key else None
    is_mcp = way.use == "mcp"
    fillable = set(values) | told | (set(key.fields) if key else set())
    kept = {name: fill(text, values) for name, text in headers.items() if find_names(text) <= fillable}
    fields: dict[str, Any] = {"api_headers": kept}
    if key is None:
        return fields
    fields["key_header"], fields["key_template"] = key.header, key.template
    if is_mcp and entry.mcp is not None:
        fields["key_header"], fields["key_template"] = entry.mcp.key_header, entry.mcp.key_template
    templates = (fields["key_template"], key.basic if "{basic}" in fields["key_template"] else "", *kept.values())
    # An MCP server may want less than the API does.
    asked = {name: label for name, label in key.fields.items() if name in find_names(*templates)}
    fields["key_fields"] = [[name, label, name in key.visible] for name, label in asked.items()]
    fields["key_basic"] = key.basic if "{basic}" in fields["key_template"] else ""
    if not is_mcp and key.check is not None:
        fields["key_check"] = _fill_all(write_table(key.check), values)
    return fields


def _make_dialect(entry: Entry, way: Way, values: Mapping[str, str]) -> Dialect:
    if entry.oauth is None:
        return STANDARD
    is_api = way.use == "api"
    headers = entry.api.headers if entry.api is not None else {}
    told = {name: parameter for name, parameter in entry.parameters.items() if parameter.source != "operator"}
    if not is_api:
        named = find_names(entry.find_url(way), *_list_revocation_templates(entry))
        told = {name: parameter for name, parameter in told.items() if name in named}
        headers = {name: text for name, text in headers.items() if find_names(text) <= set(values) | set(told)}
    whole = Dialect(oauth=entry.oauth, account=entry.account, parameters=told, headers=headers)
    filled = read_table(Dialect, _fill_all(write_table(whole), values))
    return replace(filled, values={name: value for name, value in values.items() if name in entry.parameters})


def _list_revocation_templates(entry: Entry) -> list[str]:
    revocation = entry.oauth.revocation if entry.oauth is not None else None
    return [*revocation.form.values(), *revocation.json.values(), revocation.url] if revocation else []


def _fill_all(document: Any, values: Mapping[str, str]) -> Any:
    if isinstance(document, str):
        return fill(document, values)
    if isinstance(document, Mapping):
        return {name: _fill_all(value, values) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_fill_all(value, values) for value in document]
    return document
