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

// Coming back with the browser's button shows the page as it was left.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
