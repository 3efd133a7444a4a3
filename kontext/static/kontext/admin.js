// What the admin's own pages can do without: copy buttons, and no second request while the first one is under way.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  // A layer bar that is the page's answer stands open.
  for (const bar of document.querySelectorAll(".k-open-bar details.layer-bar")) bar.open = true;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  setTimeout(() => { button.textContent = said; }, 1500);
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-once]");
  const button = form?.querySelector('button[type="submit"]');
  if (!button) return;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  button.textContent = "Working…";
});

// A rule's form offers what fits what is chosen in it: looked up when one comes to a field that depends on others. The
// chosen integration is in a field that scripts of the admin fill, and these tell nobody of it.
document.addEventListener("focusin", async (event) => {
  const argument = event.target.form?.querySelector("input[data-rule-choices]");
  if (!argument || !["capability", "argument", "operator"].includes(event.target.name)) return;
  const form = argument.form;
  const chosen = new URLSearchParams();
  for (const name of ["integration", "capability", "argument"]) chosen.set(name, form.elements[name]?.value ?? "");
  if (argument.dataset.chosen === `${chosen}`) return;
  argument.dataset.chosen = `${chosen}`;
  const answer = await fetch(`${argument.dataset.ruleChoices}?${chosen}`).catch(() => null);
  if (!answer?.ok) return;
  const offered = await answer.json();
  const fill = (name, pairs) => {
    const list = document.getElementById(`${name}-suggestions`);
    list?.replaceChildren(...pairs.map(([value, label]) => Object.assign(document.createElement("option"), { value, label })));
  };
  fill("capability", offered.capabilities);
  fill("argument", offered.arguments);
  for (const option of form.elements.operator?.options ?? []) {
    option.hidden = option.disabled = option.value !== "" && !option.selected && !offered.operators.includes(option.value);
  }
});

// Coming back with the browser's button shows the page as it was left.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// The matrix: one tab stop, arrow keys between cells, and a cell opens the simulation of its call.
document.addEventListener("DOMContentLoaded", () => {
  const first = document.querySelector(".k-matrix td button");
  if (first) first.tabIndex = 0;
});

document.addEventListener("click", (event) => {
  const cell = event.target.closest(".k-matrix td");
  if (!cell) return;
  const table = cell.closest("table");
  const query = new URLSearchParams();
  for (const axis of ["application", "user", "capability"]) {
    const fixed = table.getAttribute(`data-fixed-${axis}`);
    if (fixed) query.set(axis, fixed);
  }
  query.set(table.dataset.columns, table.tHead.rows[0].cells[cell.cellIndex].dataset.id);
  query.set(table.dataset.rows, cell.parentElement.dataset.id);
  if (query.get("user") === "nobody") query.set("user", "");
  location.href = `${table.dataset.simulation}?${query}`;
});

document.addEventListener("keydown", (event) => {
  const button = event.target.closest?.(".k-matrix td button");
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!button || !step) return;
  event.preventDefault();
  const cell = button.parentElement;
  const rows = cell.closest("tbody").rows;
  const row = rows[cell.parentElement.sectionRowIndex + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]]?.querySelector("button");
  if (!next) return;
  button.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

// The explorer: the list comes first, its histogram after it; dragging over bars, or Shift and an arrow key, chooses a
// time. Without any of that each bar is a link.
document.addEventListener("DOMContentLoaded", async () => {
  const place = document.querySelector("[data-part]");
  if (!place) return;
  place.setAttribute("aria-busy", "true");
  const answer = await fetch(place.dataset.part).catch(() => null);
  place.setAttribute("aria-busy", "false");
  if (answer?.ok) place.innerHTML = await answer.text();
  else place.hidden = true;
  const [first] = place.querySelectorAll("[data-histogram] a[data-start]");
  for (const bar of place.querySelectorAll("[data-histogram] a[data-start]")) bar.tabIndex = bar === first ? 0 : -1;
});

const barsBetween = (one, other) => {
  const bars = [...one.closest("svg").querySelectorAll("a[data-start]")];
  const [from, to] = [bars.indexOf(one), bars.indexOf(other)].sort((a, b) => a - b);
  return bars.slice(from, to + 1);
};

const chooseBars = (svg, bars) => {
  for (const bar of svg.querySelectorAll("a.is-chosen")) bar.classList.remove("is-chosen");
  for (const bar of bars) bar.classList.add("is-chosen");
};

const openBars = (bars) => {
  const address = new URL(bars[0].getAttribute("href"), location.href);
  address.searchParams.set("end", bars.at(-1).dataset.end);
  location.href = address;
};

let draggedFrom = null;

document.addEventListener("pointerdown", (event) => {
  const bar = event.target.closest?.("[data-histogram] a[data-start]");
  if (!bar || event.button !== 0) return;
  event.preventDefault();
  draggedFrom = bar;
});

document.addEventListener("pointermove", (event) => {
  const bar = draggedFrom && event.target.closest?.("[data-histogram] a[data-start]");
  if (bar) chooseBars(bar.closest("svg"), barsBetween(draggedFrom, bar));
});

document.addEventListener("pointerup", (event) => {
  const [from, to] = [draggedFrom, event.target.closest?.("[data-histogram] a[data-start]")];
  draggedFrom = null;
  if (from && to && from !== to) openBars(barsBetween(from, to));
});

document.addEventListener("dragstart", (event) => { if (draggedFrom) event.preventDefault(); });

document.addEventListener("keydown", (event) => {
  const bar = event.target.closest?.("[data-histogram] a[data-start]");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!bar) return;
  const svg = bar.closest("svg");
  if (event.key === "Enter" && svg.querySelector("a.is-chosen")) {
    event.preventDefault();
    openBars([...svg.querySelectorAll("a.is-chosen")]);
  }
  if (event.key === "Escape") chooseBars(svg, []);
  if (!step) return;
  event.preventDefault();
  const bars = [...svg.querySelectorAll("a[data-start]")];
  const next = bars[bars.indexOf(bar) + step];
  if (!next) return;
  bar.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  svg.kontextAnchor = event.shiftKey ? svg.kontextAnchor ?? bar : null;
  chooseBars(svg, svg.kontextAnchor ? barsBetween(svg.kontextAnchor, next) : []);
});
