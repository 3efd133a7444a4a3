"""docs/quickstart.md, carried out as it is written: its values entered, its programs run, its outcomes seen."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from connections.models import Integration
from kontext.demo.browser import Browser, Page
from orgs.models import Application, User
from policy.models import Effect, Layer
from tests.e2e.live import Installation
from tests.e2e.processes import ROOT, Process, free_port
from tests.e2e.scenes import closing_connections

TEXT = (ROOT / "docs" / "quickstart.md").read_text()
# What a form's field is called on the page, and in the form.
NAMES = {
    "Organization": "organization_name",
    "Short name": "organization_slug",
    "Your name": "name",
    "Your e-mail address": "email",
    "Password": "password",
}


def program(name: str) -> str:
    found = re.search(rf"```python\n(# {name}\n.*?)```", TEXT, re.DOTALL)
    assert found is not None, f"the quickstart has lost {name}"
    return found[1]


def tables() -> list[dict[str, str]]:
    """The forms to fill in, in the order of the page: value by label."""
    found = re.findall(r"\| field \| value \|\n\|---\|---\|\n((?:\|.*\|\n)+)", TEXT)
    return [dict(re.findall(r"\| (.*?) \| (.*?) \|", rows)) for rows in found]


class Reader:
    """Whoever follows the quickstart, in a browser that stays signed in."""

    def __init__(self, live: Installation, browser: Browser, folder: Path) -> None:
        self.live, self.browser, self.folder = live, browser, folder
        self.setup, self.integration, self.application, self.org_rule, self.app_rule, self.user_rule = tables()

    async def open(self, path: str) -> Page:
        page = await self.browser.open(f"{self.live.public_url}{path}")
        assert page.status == 200, f"{path}: {page.words[:300]}"
        return page

    async def set_up(self) -> None:
        path = json.loads(self.live.run("prepare", "--json").stdout)["setup_path"]
        given = {NAMES[label]: value for label, value in self.setup.items()} | {"organization_slug": "quick"}
        page = await self.browser.press(await self.open(path), "Create and sign in", **given)
        assert page.url == f"{self.live.public_url}/admin/"
        self.carol = User.objects.get(is_superuser=True)
        self.organization = self.carol.memberships.get().organization

    async def add_integration(self, url: str) -> None:
        page = await self.browser.press(
            await self.open("/admin/connections/integration/add/?by=hand"),
            "Save",
            organization=str(self.organization.pk),
            name=self.integration["Name"],
            slug=self.integration["Short name"],
            url=url,
            auth_mode=value_of(Integration.AuthMode, self.integration["How calls are authenticated"]),
        )
        page = await self.browser.press(page, "Ask the integration")
        self.notes = Integration.objects.get(organization=self.organization)
        assert self.notes.status == Integration.Status.ACTIVE, self.notes.discovery_error
        assert set(self.notes.capabilities.values_list("name", flat=True)) == {"add_note", "delete_notes"}

    async def register_application(self) -> None:
        await self.browser.press(
            await self.open("/admin/orgs/application/add/"),
            "Save",
            organization=str(self.organization.pk),
            name=self.application["Name"],
            owner=str(self.carol.pk),
            client_type=self.application["Kind"].lower(),
            redirect_uris=self.application["Redirect URIs"],
            integrations=str(self.notes.pk),
        )
        self.bot = Application.objects.get(organization=self.organization)

    async def write_rules(self) -> None:
        for rule in (self.org_rule, self.app_rule):
            own = {"application": str(self.bot.pk)} if "Application" in rule else {}
            condition = {"argument": rule["Argument"], "operator": "equals", "value": rule["Value"]} if own else {}
            await self.browser.press(
                await self.open("/admin/policy/rule/add/"),
                "Save",
                organization=str(self.organization.pk),
                layer=value_of(Layer, rule["Layer"]),
                effect=value_of(Effect, rule["Effect"]),
                integration=str(self.notes.pk),
                **own,
                **condition,
            )
        mine = self.user_rule
        await self.browser.press(
            await self.open(f"/rules/add/?integration={self.notes.pk}"),
            "Add the rule",
            effect=value_of(Effect, mine["What happens"]),
            integration=str(self.notes.pk),
            target=f"name:{mine['Capability']}",
        )
        assert self.organization.rules.count() == 4  # with the one that consent began with: read only

    async def call(self, topic: str) -> str:
        """Run the client, allow what it asks for, and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(self.folder / "client.py"),
            self.bot.client_id,
            f"{self.live.gateway_url}/mcp/{self.notes.slug}",
            topic,
            cwd=ROOT,
            env={"BROWSER": "true", "PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("Open "), line + (await process.stdout.read()).decode()
        page = await self.browser.open(line.removeprefix("Open ").strip())
        if page.find_form("Allow"):
            await self.browser.press(page, "Allow")
        printed = (await asyncio.wait_for(process.stdout.read(), 60)).decode()
        await process.wait()
        return printed


def value_of(choices: type[Integration.AuthMode | Layer | Effect], label: str) -> str:
    return next(str(choice.value) for choice in choices if choice.label == label)


@closing_connections
async def test_quickstart_leads_to_a_governed_call(live: Installation, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "notes.py").write_text(program("notes.py").replace("9000", str(port)))
    (tmp_path / "client.py").write_text(program("client.py"))
    server = Process("notes", [sys.executable, str(tmp_path / "notes.py")], tmp_path / "notes.log")
    try:
        server.wait_until_answers(f"http://127.0.0.1:{port}/mcp")
        async with Browser() as browser:
            reader = Reader(live, browser, tmp_path)
            assert "9000" in reader.integration["URL"]
            await reader.set_up()
            await reader.add_integration(reader.integration["URL"].replace("9000", str(port)))
            await reader.register_application()
            first = await reader.call("work")
            await reader.write_rules()
            await asyncio.sleep(1)
            second, third = await reader.call("work"), await reader.call("holidays")
            activity = await reader.open("/activity/")
    finally:
        server.stop()

    assert "Tools: []" in first
    assert "Refused: kontext_policy_denied - Denied by " in first
    assert second.splitlines() == ["Tools: ['add_note']", "Allowed: 1 notes, the last one about work"]
    assert "Refused: kontext_policy_denied - Denied by the application layer: " in third
    assert "add_note" in activity.words
    for documented in (
        "Tools: []",
        *second.splitlines(),
        "Refused: kontext_policy_denied - Denied by the application layer:",
    ):
        assert f"    {documented}" in TEXT
