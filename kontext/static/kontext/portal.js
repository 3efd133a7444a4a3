// What a page can do without: copy buttons, local time on hover, menus that close. Everything else is server-rendered.
"use strict";

const copied = async (button) => {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  setTimeout(() => { button.textContent = said; }, 1500);
};

const enhance = (root) => {
  for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = false;
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (!Number.isNaN(when.valueOf())) {
      time.title = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    }
  }
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) copied(button);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("htmx:load", (event) => enhance(event.target));

enhance(document);
document.querySelector(".error-summary")?.focus();
