"""The files of the catalogue: all of them hold, more can be added, and what was added from one stays as it was."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from pytest_django import Settings

from audit.models import AuditEvent
from connections.catalogue.entries import API, MCP, Entry, Key
from connections.catalogue.loading import OWN_FOLDER, find_entry, get_catalogue
from connections.injection import build_headers
from connections.models import Integration, OAuthClient
from connections.oauth.dialect import Call, OAuth, Parameter, Revocation
from connections.services.add_from_catalogue import add_from_catalogue
from connections.services.discover_integration import discover_integration
from connections.services.set_oauth_client import set_oauth_client
from connections.services.update_integration import update_integration
from tests.factories import Cast

OWN_SERVICE = """
name = "Acme Desk"
category = "support"
docs_url = "https://docs.acme.test/oauth"
auth_modes = ["oauth", "user_token"]
sources = ["https://docs.acme.test/oauth"]

[api]
url = "https://{subdomain}.desk.acme.test/api"

[oauth]
authorization_url = "https://{subdomain}.desk.acme.test/authorize"
token_url = "https://{subdomain}.desk.acme.test/token"
scopes = ["tickets:read"]
token_format = "json"
lifetime = 900

[key]
header = "X-Desk-Key"
template = "{token}"

[parameters.subdomain]
label = "Your subdomain"
"""


def write(folder: Path, text: str, name: str = "acme-desk") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def run(*arguments: str) -> str:
    shown = StringIO()
    call_command("catalogue", *arguments, stdout=shown, no_color=True)
    return shown.getvalue()


def test_every_entry_of_ours_can_be_read_and_used() -> None:
    catalogue = get_catalogue()
    assert [str(problem) for problem in catalogue.problems] == []
    assert len(catalogue.entries) == len(list(OWN_FOLDER.glob("*.toml"))) == 73
    for entry in catalogue.entries.values():
        assert entry.notes.endswith("."), entry.slug
        assert entry.docs_url.startswith("https://"), entry.slug


def test_every_way_of_every_entry_makes_an_integration(cast: Cast) -> None:
    examples = {"word": "acme", "host": "acme.example.com", "path": "sql", "url": "https://acme.example.com/base"}
    made = 0
    for entry in get_catalogue().entries.values():
        for way in entry.ways:
            values = {name: examples[one.kind] for name, one in entry.find_asked(way).items()}
            integration = add_from_catalogue(
                organization=cast.acme,
                entry=entry,
                use=way.use,
                auth_mode=way.auth_mode,
                parameters=values,
                slug=f"service-{made}",
            )
            assert (integration.auth_mode, integration.status) == (way.auth_mode, "draft")
            assert integration.recipe.member == {"oauth": "access_token", "none": ""}.get(way.auth_mode, "key")
            made += 1
    assert made > 150


def test_one_file_in_the_extra_folder_adds_a_service(cast: Cast, tmp_path: Path, settings: Settings) -> None:
    settings.CATALOGUE_DIR = str(tmp_path)
    assert find_entry("acme-desk") is None
    write(tmp_path, OWN_SERVICE)
    entry = find_entry("acme-desk")
    assert entry is not None
    assert "74 services, all good" in run("check")

    integration = add_from_catalogue(organization=cast.acme, entry=entry, parameters={"subdomain": "acme"})

    assert integration.url == "https://acme.desk.acme.test/api"
    client = OAuthClient.objects.get(integration=integration)
    assert client.token_endpoint == "https://acme.desk.acme.test/token"
    assert (client.scopes, client.client_id) == (["tickets:read"], "")
    discover_integration(integration=integration)
    assert "enter the client ID" in integration.discovery_error
    set_oauth_client(integration=integration, client_id="ours", client_secret="hush")
    integration.refresh_from_db()
    assert (integration.status, integration.catalogue_entry) == ("active", "acme-desk")
    assert AuditEvent.objects.get(type="integration.added").details["catalogue_entry"] == "acme-desk"


def test_example_of_the_documentation_works(tmp_path: Path, settings: Settings) -> None:
    page = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text()
    example = re.search(r"```toml\n# (\S+)\.toml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    settings.CATALOGUE_DIR = str(tmp_path)
    write(tmp_path, example[2], name=example[1])
    assert "74 services, all good" in run("check")
    assert "asks for subdomain" in run("show", example[1])


def test_every_field_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text()
    kinds = (Entry, MCP, API, OAuth, Revocation, Call, Key, Parameter)
    names = {entry.name for kind in kinds for entry in fields(kind)} - {"slug"}
    assert [name for name in sorted(names) if not re.search(rf"`{name}`|[\[.]{name}[\].]", page)] == []


def test_upgraded_entry_changes_nothing_that_was_added(cast: Cast, tmp_path: Path, settings: Settings) -> None:
    settings.CATALOGUE_DIR = str(tmp_path)
    write(tmp_path, OWN_SERVICE)
    former = find_entry("acme-desk")
    assert former is not None
    integration = add_from_catalogue(organization=cast.acme, entry=former, parameters={"subdomain": "acme"})
    kept = integration.dialect

    write(tmp_path, OWN_SERVICE.replace("lifetime = 900", "lifetime = 60").replace('"json"', '"form"'))

    upgraded = find_entry("acme-desk")
    assert upgraded is not None
    integration.refresh_from_db()
    assert integration.dialect == kept
    assert kept["oauth"]["lifetime"] == 900
    assert integration.catalogue_digest == former.digest != upgraded.digest


@pytest.mark.parametrize(
    ("former", "now", "field", "text"),
    [
        ('name = "Acme Desk"\n', "", "name", "is missing: add it"),
        ("category", "categoy", "categoy", "did you mean category?"),
        ("lifetime = 900", 'lifetime = "15 min"', "oauth.lifetime", "must be a whole number"),
        ("lifetime = 900", "lifetime = -1", "oauth.lifetime", "above 0"),
        ('token_format = "json"', 'token_format = "xml"', "oauth.token_format", "form or json"),
        ('"user_token"]', '"api_key"]', "auth_modes", "choose of oauth, user_token"),
        ("[parameters.subdomain]", "[parameters.domain]", "api.url", "add [parameters.subdomain]"),
        ("https://{subdomain}.desk.acme.test/token", "http://desk.acme.test/token", "oauth.token_url", "https://"),
        ('template = "{token}"', 'template = "secret"', "key.template", "must hold a field"),
        ('label = "Your subdomain"', "", "parameters.subdomain.label", "what the operator is to enter"),
        ('scopes = ["tickets:read"]', "authorize_parameters = { state = 'x' }", "state", "Kontext's own"),
        ("[key]", "[key]\nfields = ['token']", "key.fields", "must be a table"),
        ("[oauth]", "[oauth", "", "is not TOML"),
    ],
)
def test_wrong_file_is_told_by_file_field_and_remedy(
    tmp_path: Path, settings: Settings, capsys: Any, former: str, now: str, field: str, text: str
) -> None:
    settings.CATALOGUE_DIR = str(tmp_path)
    assert former in OWN_SERVICE
    file = write(tmp_path, OWN_SERVICE.replace(former, now))
    problems = get_catalogue().problems
    assert [problem for problem in problems if field in problem.field and text in problem.text], problems
    assert {problem.file for problem in problems} == {file}
    assert find_entry("acme-desk") is None
    assert find_entry("github") is not None
    with pytest.raises(CommandError, match="1 files can't be used, 73 can"):
        run("check")


def test_folder_that_is_none_is_told(tmp_path: Path, settings: Settings) -> None:
    settings.CATALOGUE_DIR = str(tmp_path / "nowhere")
    with pytest.raises(CommandError):
        run("check")


def test_list_and_show_say_what_there_is() -> None:
    assert "GitHub" in run("list")
    listed = {entry["slug"]: entry for entry in json.loads(run("list", "--json"))}
    assert listed["zendesk"]["ways"][0] == {"use": "api", "authMode": "oauth", "asks": ["subdomain"]}
    assert "https://{subdomain}.zendesk.com/api/v2; asks for subdomain" in run("show", "zendesk")
    assert json.loads(run("show", "slack", "--json"))["oauth"]["token_path"] == "authed_user"
    with pytest.raises(CommandError, match="no service 'nobody'"):
        run("show", "nobody")


@pytest.mark.parametrize(
    ("slug", "parameters", "field"),
    [
        ("zendesk", {}, "subdomain"),
        ("zendesk", {"subdomain": "evil.test/"}, "subdomain"),
        ("zendesk", {"subdomain": "acme.evil.test#"}, "subdomain"),
        ("zendesk", {"subdomain": "acme", "other": "x"}, "other"),
        ("generic-mcp", {"mcp_url": "file:///etc/passwd"}, "mcp_url"),
        ("generic-mcp", {"mcp_url": "http://10.0.0.1/mcp"}, "url"),
        (
            "generic-oauth",
            {"api_url": "https://a.test", "authorization_url": "javascript:x", "token_url": "https://a.test"},
            "authorization_url",
        ),
    ],
)
def test_bad_parameters_add_nothing(
    cast: Cast, settings: Settings, slug: str, parameters: dict[str, str], field: str
) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    before = Integration.objects.count()
    entry = find_entry(slug)
    assert entry is not None
    with pytest.raises(ValidationError) as caught:
        add_from_catalogue(organization=cast.acme, entry=entry, parameters=parameters)
    assert field in caught.value.message_dict
    assert (Integration.objects.count(), OAuthClient.objects.count()) == (before, 0)
    assert not AuditEvent.objects.filter(type="integration.added").exists()


def test_way_that_there_is_not_is_refused_with_those_there_are(cast: Cast) -> None:
    entry = find_entry("openai")
    assert entry is not None
    with pytest.raises(ValidationError, match="api with server_token, api with user_token"):
        add_from_catalogue(organization=cast.acme, entry=entry, auth_mode="oauth")


def test_another_server_is_not_spoken_to_as_the_former_one(cast: Cast) -> None:
    entry = find_entry("shopify")
    assert entry is not None
    integration = add_from_catalogue(organization=cast.acme, entry=entry, parameters={"shop": "acme"})
    sealed = json.dumps({"access_token": "t"}).encode()
    assert build_headers(integration.recipe, sealed) == {"X-Shopify-Access-Token": "t"}
    update_integration(integration=integration, url="https://elsewhere.test/api")
    assert (integration.dialect, integration.catalogue_entry) == ({}, "")
    assert build_headers(integration.recipe, sealed) == {"Authorization": "Bearer t"}


@pytest.mark.parametrize("part", ["two\r\nHost: evil.test", "ünicode", " padded"])
def test_part_of_a_key_never_begins_a_header_of_its_own(cast: Cast, part: str) -> None:
    entry = find_entry("datadog")
    assert entry is not None
    integration = add_from_catalogue(organization=cast.acme, entry=entry, use="api", auth_mode="user_token")
    stored = json.dumps({"key": "good", "values": {"token": "good", "application_key": part}}).encode()
    with pytest.raises(ValueError, match="lacks a part") as caught:
        build_headers(integration.recipe, stored)
    assert part not in str(caught.value)
