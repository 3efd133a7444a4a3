"""What a script can tell of WCAG 2.2 AA on a page that is open in a browser."""

from __future__ import annotations

from playwright.sync_api import Page

# Returns the problems it finds. Text is measured against the ground it stands on, as far as that is a plain colour.
CHECKS = """
() => {
  const problems = [];
  const say = (what, element) => problems.push(
    `${what}: ${element.outerHTML.replace(/\\s+/g, " ").slice(0, 140)}`
  );
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isShown = (element) =>
    element.checkVisibility({ checkVisibilityCSS: true }) && element.getClientRects().length > 0;
  const isForEyes = (element) => isShown(element) && !element.closest(".visually-hidden, .skip-link");
  const nameOf = (element) => {
    const labels = (element.getAttribute("aria-labelledby") ?? "").split(/\\s+/);
    const words = [element.getAttribute("aria-label")];
    words.push(...labels.map((id) => document.getElementById(id)?.textContent));
    words.push(...[...(element.labels ?? [])].map((label) => label.textContent), element.textContent, element.title);
    return words.filter(Boolean).join(" ").trim();
  };

  if (!document.documentElement.lang) problems.push("the page has no language");
  if (!document.title.includes("Kontext")) problems.push(`the title says nothing: ${document.title}`);
  if (document.querySelectorAll("main").length !== 1) problems.push("the page has not exactly one main part");
  if (document.documentElement.scrollWidth > window.innerWidth) problems.push("the page scrolls sideways");

  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    if (!isShown(heading)) continue;
    const own = Number(heading.tagName[1]);
    if (own > level + 1) say(`a heading skips from ${level} to ${own}`, heading);
    if (!heading.textContent.trim()) say("a heading is empty", heading);
    level = own;
  }
  if (document.querySelectorAll("h1").length !== 1) problems.push("the page has not exactly one h1");

  const ids = all("[id]").map((element) => element.id);
  for (const id of ids.filter((id, index) => ids.indexOf(id) !== index)) problems.push(`two elements are ${id}`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of all(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\\s+/)) {
        if (!ids.includes(id)) say(`${attribute} leads nowhere`, element);
      }
    }
  }

  for (const element of all("input:not([type=hidden]), select, textarea")) {
    const hasLabel = element.labels.length > 0 || element.getAttribute("aria-label");
    if (isShown(element) && !hasLabel) say("a field has no label", element);
  }
  for (const element of all("a[href], button, summary, section[aria-labelledby], nav, form[role]")) {
    if (isShown(element) && !nameOf(element)) say("an element has no name", element);
  }
  for (const element of all("thead th:not([scope]), img:not([alt]), [tabindex]:not([tabindex='-1'])")) {
    say("an element lacks what it needs", element);
  }
  for (const child of all("ul > :not(li, template), ol > :not(li, template)")) say("not an item of its list", child);

  const targets = "button, select, input:not([type=hidden], [type=checkbox], [type=radio]), a.button, nav a";
  for (const element of all(targets)) {
    const { width, height } = element.getBoundingClientRect();
    const isSmall = height < 24 || width < 24;
    if (isForEyes(element) && isSmall) say(`a target is ${Math.round(width)} by ${Math.round(height)}`, element);
  }

  const parse = (colour) => {
    const canvas = parse.canvas ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const ground = parse(getComputedStyle(one).backgroundColor);
      if (ground[3] === 255) return ground;
    }
    return [255, 255, 255, 255];
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(element) || !isForEyes(element)) continue;
    seen.add(element);
    if (element.closest("script, style, noscript, svg, [disabled], option")) continue;
    const style = getComputedStyle(element);
    const [ink, ground] = [luminance(parse(style.color)), luminance(groundOf(element))];
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (contrast < needed) say(`a text has a contrast of ${contrast.toFixed(2)}`, element);
  }
  return problems;
}
"""


def find_problems(page: Page) -> list[str]:
    found: list[str] = page.evaluate(CHECKS)
    return found
