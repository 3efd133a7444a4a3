// What a page can do without: copy buttons, local time on hover, menus that close, words about a failed request for a
// part of the page. Everything else is server-rendered.
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

// Where only a part of the page was asked for, a refusal would go unseen.
const complain = (requestId) => {
  const main = document.querySelector("main");
  const notice = main.querySelector(".trouble") ?? document.createElement("p");
  notice.className = "trouble notice notice-bad";
  notice.setAttribute("role", "alert");
  notice.textContent = "That didn\u2019t work, and nothing was changed. Reload the page and try again.";
  if (requestId) notice.textContent += ` Request ID: ${requestId}`;
  main.prepend(notice);
};

document.addEventListener("htmx:responseError", (event) => {
  complain(event.detail.xhr.getResponseHeader("X-Request-ID"));
});
document.addEventListener("htmx:sendError", () => complain());

document.addEventListener("htmx:load", (event) => enhance(event.target));

enhance(document);
document.querySelector(".error-summary")?.focus();
