"""A person of the demo at their browser: they go where a person would go, and press what a person would press."""

from __future__ import annotations

from types import TracebackType

from kontext.demo.browser import Browser, BrowserError, Page
from kontext.demo.people import Person


class Human:
    """One person with a browser of their own. Each method ends on the page where the person would end."""

    def __init__(self, person: Person, public_url: str) -> None:
        self.person = person
        self._public_url = public_url
        self._browser = Browser()

    async def __aenter__(self) -> Human:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._browser.__aexit__(kind, error, trace)

    async def open(self, address: str) -> Page:
        return await self._browser.open(address)

    async def sign_in(self) -> Page:
        """Name the e-mail address, be sent to the organization's provider, choose oneself there."""
        page = await self._browser.open(f"{self._public_url}/signin/")
        page = await self._browser.press(page, "Continue", email=self.person.email)
        return self._expect_home(await self._browser.press(page, self.person.subject))

    async def consent(self, address: str) -> Page:
        """Allow an application what it asks for (nothing is asked where the same was allowed before)."""
        page = await self._browser.open(address)
        return await self._browser.press(page, "Allow") if page.find_form("Allow") else page

    async def refuse(self, address: str) -> Page:
        return await self._browser.press(await self._browser.open(address), "Refuse")

    async def connect(self, address: str) -> Page:
        """Open a connect link and sign in at the integration with one's account there."""
        return await self._authorize(await self._browser.open(address))

    async def connect_from_portal(self, integration: str) -> Page:
        page = await self._browser.open(f"{self._public_url}/connections/")
        return await self._authorize(await self._browser.press(page, f"Connect {integration}"))

    async def disconnect(self, integration: str) -> Page:
        page = await self._browser.open(f"{self._public_url}/connections/")
        page = await self._browser.follow(page, f"Disconnect {integration}")
        return self._expect_home(await self._browser.press(page, "Disconnect"))

    async def stop(self, application: str) -> Page:
        """Stop an application from acting for oneself."""
        page = await self._browser.open(f"{self._public_url}/applications/")
        page = await self._browser.follow(page, application)
        page = await self._browser.follow(page, "Stop acting for me")
        return self._expect_home(await self._browser.press(page, f"Stop {application}"))

    async def _authorize(self, page: Page) -> Page:
        page = await self._browser.press(page, "Continue to")
        return self._expect_home(await self._browser.press(page, "Authorize", account=self.person.github))

    def _expect_home(self, page: Page) -> Page:
        """Return the page if it is one of Kontext's and no refusal."""
        if not page.url.startswith(self._public_url) or page.status >= 400:
            raise BrowserError(f"{self.person.name} ended at {page.url} ({page.status}): {page.words[:300]}")
        return page
