"""The explorer in a real browser: narrowing by a bar, by dragging, by keyboard, and without scripts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from audit.models import AuditEvent
from audit.services.seal import seal_events
from orgs.services.checkpoint_keys import sign_checkpoint
from tests.admin.test_explorer import DECISION, LIST, TIMELINE
from tests.factories import Cast, make_application, make_call, make_cast
from tests.portal.conftest import chromium, open_browser
from tests.portal.test_pages import look

__all__ = ["chromium", "open_browser"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ALLOWED: dict[str, Any] = {
    **DECISION,
    "effect": "allow",
    "deciding": None,
    "layers": ["allow"] * 3,
    "sentence": "Allowed by all.",
}
SESSION: dict[str, Any] = {
    "session": "5f1d7a84db00d2fce00b31a7fc73224f",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
}


@pytest.fixture
def busy(transactional_db: None) -> Cast:
    """A day at Acme: two applications, most calls done, some denied, some failed, and one session."""
    cast = make_cast()
    triage = make_application(cast.acme, "Triage of everything that comes in")
    for hour in range(20):
        for number in range(1 + hour % 5):
            ago = dt.timedelta(hours=hour, minutes=3 + 7 * number)
            outcome = "denied" if (hour + number) % 4 == 0 else "error_remote" if (hour + number) % 7 == 0 else "ok"
            decision = DECISION if outcome == "denied" else ALLOWED
            facts: dict[str, Any] = {
                "account": "alice-acme",
                "source_address": "10.1.2.3",
                "policy_version": 7,
                "decision": decision,
            }
            application = triage if hour % 3 == 0 else cast.pr_bot
            make_call(application, cast.alice, cast.create_issue, outcome, ago=ago, **facts)
    for seconds, outcome in ((900, "ok"), (899, "ok"), (895, "denied"), (60, "error_remote"), (58, "ok")):
        decision = DECISION if outcome == "denied" else ALLOWED
        ago = dt.timedelta(seconds=seconds)
        make_call(cast.pr_bot, cast.alice, cast.delete_repo, outcome, ago=ago, decision=decision, **SESSION)
    return cast


def fits(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_and_complain_about_nothing(
    busy: Cast, open_browser: Callable[..., Page], width: int, theme: str
) -> None:
    seal_events(sign=sign_checkpoint)
    call = AuditEvent.objects.filter(session=SESSION["session"], phase="completed").latest("pk")
    page = open_browser(busy.carol, width=width, color_scheme=theme)
    for name, address in {
        "list": LIST,
        "filtered": f"{LIST}?application=PR-Bot&outcome=problems&address=10.0.0.0/8&period=week",
        "wrong": f"{LIST}?address=10.1.2",
        "nothing": f"{LIST}?capability=nothing",
        "timeline": f"{TIMELINE}?session={SESSION['session']}",
        "call": f"{LIST}{call.pk}/change/",
        "charts": f"{LIST}charts/?by=application",
        "save": "/admin/orgs/savedsearch/add/?query=outcome%3Ddenied",
    }.items():
        page.goto(address)
        page.wait_for_load_state("networkidle")
        look(page, f"explorer-{name}-{width}-{theme}")
        assert fits(page, width), f"{address} runs over the edge"


def test_bar_leads_to_its_time_and_filters_stay(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol)
    page.goto(f"{LIST}?integration=github")
    bars = page.locator("[data-histogram] a[data-start]")
    expect(bars.first).to_be_attached()
    last = page.locator("[data-histogram] a:has(.series-allow)").last
    last.click()
    page.wait_for_url("**start=*")
    assert "integration=github" in page.url
    expect(page.get_by_text("Filters in use")).to_have_count(0)
    expect(page.get_by_role("list", name="Filters in use")).to_contain_text("Integration: github")


def test_dragging_over_bars_chooses_their_time(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol)
    page.goto(LIST)
    bars = page.locator("[data-histogram] a[data-start]")
    expect(bars.first).to_be_attached()
    page.wait_for_load_state("networkidle")
    start, end = bars.nth(10), bars.nth(20)
    for place, act in ((start, page.mouse.down), (end, page.mouse.up)):
        box = place.locator(".k-bar-place").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
        act()
    page.wait_for_url("**start=*")
    assert end_is_later_by(page, hours=11)


def start_of(page: Page, name: str) -> str:
    value: str = page.evaluate(f"new URL(location.href).searchParams.get('{name}')")
    return value


def end_is_later_by(page: Page, *, hours: float) -> bool:
    start, end = (dt.datetime.fromisoformat(start_of(page, name)) for name in ("start", "end"))
    return end - start == dt.timedelta(hours=hours)


def test_histogram_is_used_with_the_keyboard(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol)
    page.goto(LIST)
    bars = page.locator("[data-histogram] a[data-start]")
    expect(bars.first).to_be_attached()
    bars.first.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(bars.nth(4)).to_be_focused()
    expect(page.locator("[data-histogram] a.is-chosen")).to_have_count(3)
    page.keyboard.press("Enter")
    page.wait_for_url("**start=*")
    assert end_is_later_by(page, hours=3)


def test_everything_is_there_without_scripts(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol, java_script_enabled=False)
    page.goto(LIST)
    page.get_by_role("link", name="Show how many there were over time").click()
    page.locator("[data-histogram] a:has(.series-allow)").last.click()
    assert "start=" in page.url
    page.get_by_label("Source").fill("10.1.2")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Enter an address, such as 10.1.2.3")).to_be_visible()
    page.get_by_label("Source").fill("10.1.0.0/16")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("list", name="Filters in use")).to_contain_text("Source: 10.1.0.0/16")


def test_why_is_one_click_away_and_a_session_is_followed(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol)
    page.goto(f"{LIST}?capability=delete_repo&outcome=ok")
    page.get_by_role("row", name="delete_repo").first.get_by_text("Why", exact=True).first.click()
    expect(page.get_by_text("Allowed by all.").first).to_be_visible()
    page.get_by_role("row", name="delete_repo").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="This call")).to_be_visible()
    section = page.get_by_role("region", name="Same session")
    section.get_by_role("link", name="Timeline").click()
    story = page.get_by_role("list", name="What happened")
    expect(story.get_by_text("of nothing")).to_have_text("13 min 55 s of nothing")
    expect(story.get_by_text("Denied by the user layer: not on Fridays.")).to_be_visible()


def test_search_is_saved_and_opened_again(busy: Cast, open_browser: Callable[..., Page]) -> None:
    page = open_browser(busy.carol, width=360)
    page.goto(f"{LIST}?outcome=denied&period=week")
    page.get_by_role("link", name="Save this search").click()
    page.get_by_label("Name").fill("Denials of the week")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(LIST)
    page.get_by_role("link", name="Denials of the week").click()
    expect(page.get_by_role("list", name="Filters in use")).to_contain_text("Outcome: Denied")
    assert "period=week" in page.url
