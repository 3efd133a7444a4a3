"""A person's browser without a screen: cookies, redirects, and forms sent as their pages wrote them.

It knows nothing of Kontext: it presses buttons by the words on them, so the demo goes where a person would go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from urllib.parse import urljoin

import httpx2


class BrowserError(Exception):
    """A page that is not there, or has no such button."""


@dataclass(frozen=True)
class Button:
    words: str
    name: str
    value: str


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str | list[str]] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    url: str
    status: int
    text: str = field(repr=False)
    forms: list[Form] = field(repr=False)
    links: list[tuple[str, str]] = field(repr=False)  # (words, absolute address)
    words: str = field(repr=False)

    def find_form(self, button: str) -> tuple[Form, Button] | None:
        """The form with a button that says `button` (anywhere in its words, in any case)."""
        for form in self.forms:
            for candidate in form.buttons:
                if button.lower() in candidate.words.lower():
                    return form, candidate
        return None

    def find_link(self, words: str) -> str | None:
        return next((address for text, address in self.links if words.lower() in text.lower()), None)


class Browser:
    """One person's browser; keeps cookies until it is closed."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(follow_redirects=True, timeout=30, headers={"Accept": "text/html"})

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def open(self, url: str) -> Page:
        return _read(await self._client.get(url))

    async def press(self, page: Page, button: str, **values: str | list[str]) -> Page:
        """Fill in `values` and press the button that says `button`."""
        found = page.find_form(button)
        if found is None:
            raise BrowserError(f"{page.url} ({page.status}) has no button {button!r}: {page.words[:300]}")
        form, pressed = found
        data = {**form.fields, **values}
        if pressed.name:
            data[pressed.name] = pressed.value
        target = urljoin(page.url, form.action)
        if form.method == "get":
            return _read(await self._client.get(target, params=data))
        return _read(
            await self._client.post(target, data=data, headers={"Referer": page.url, "Origin": _origin(page.url)})
        )

    async def follow(self, page: Page, words: str) -> Page:
        """Follow the link that says `words`."""
        address = page.find_link(words)
        if address is None:
            raise BrowserError(f"{page.url} ({page.status}) has no link {words!r}: {page.words[:300]}")
        return await self.open(address)


def _origin(url: str) -> str:
    parsed = httpx2.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _read(response: httpx2.Response) -> Page:
    reader = _Reader()
    reader.feed(response.text)
    url = str(response.url)
    links = [(" ".join(words.split()), urljoin(url, href)) for words, href in reader.links]
    return Page(url, response.status_code, response.text, reader.forms, links, " ".join(" ".join(reader.words).split()))


class _Reader(HTMLParser):
    """Collects forms, links and visible words; the outermost form wins, as in a browser."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._named: dict[str, Form] = {}
        self._button: dict[str, str] | None = None
        self._link: str | None = None
        self._select: str | None = None
        self._caught: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        handler = getattr(self, f"_start_{tag}", None)
        if handler is not None:
            handler(given)

    def handle_endtag(self, tag: str) -> None:
        handler = getattr(self, f"_end_{tag}", None)
        if handler is not None:
            handler()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)
        self._caught.append(data)

    def _start_form(self, given: dict[str, str]) -> None:
        self._form = Form(given.get("action", ""), given.get("method", "get").lower())
        self.forms.append(self._form)
        self._named[given.get("id", "")] = self._form

    def _end_form(self) -> None:
        self._form = None

    def _start_input(self, given: dict[str, str]) -> None:
        kind, name, value = given.get("type", "text"), given.get("name", ""), given.get("value", "")
        if self._form is None or "disabled" in given:
            return
        if kind == "submit":
            self._form.buttons.append(Button(value, name, value))
        elif kind in ("radio", "checkbox"):
            if "checked" in given:
                self._add(name, value or "on")
        elif name:
            self._add(name, value)

    def _start_button(self, given: dict[str, str]) -> None:
        self._button, self._caught = given, []

    def _end_button(self) -> None:
        given, words = self._button, " ".join("".join(self._caught).split())
        # A button may stand outside the form that it names.
        form = self._named.get(given["form"]) if given is not None and "form" in given else self._form
        if given is not None and form is not None and given.get("type", "submit") == "submit":
            label = given.get("aria-label", words)
            form.buttons.append(Button(label or words, given.get("name", ""), given.get("value", "")))
        self._button = None

    def _start_a(self, given: dict[str, str]) -> None:
        self._link, self._caught = given.get("href"), []

    def _end_a(self) -> None:
        if self._link is not None:
            self.links.append(("".join(self._caught), self._link))
        self._link = None

    def _start_select(self, given: dict[str, str]) -> None:
        self._select = given.get("name")

    def _end_select(self) -> None:
        self._select = None

    def _start_option(self, given: dict[str, str]) -> None:
        if self._form is None or self._select is None:
            return
        if "selected" in given or self._select not in self._form.fields:
            self._form.fields[self._select] = given.get("value", "")

    def _start_script(self, given: dict[str, str]) -> None:
        self._silent = True

    def _end_script(self) -> None:
        self._silent = False

    _start_style, _end_style = _start_script, _end_script

    def _add(self, name: str, value: str) -> None:
        """A second value of one name makes a list, as several checked boxes do."""
        assert self._form is not None
        fields = self._form.fields
        if name not in fields:
            fields[name] = value
        else:
            before = fields[name]
            fields[name] = [*(before if isinstance(before, list) else [before]), value]
