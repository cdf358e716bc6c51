// What keyboards and screen readers need beyond the theme.

document.addEventListener("DOMContentLoaded", () => {
  // Their labels say less than their text.
  const labelled = ".search-button-field, summary[aria-label='Toggle hidden content']";
  for (const control of document.querySelectorAll(labelled)) control.removeAttribute("aria-label");
  for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const page = summary.closest("li").querySelector("a").textContent.trim();
    summary.setAttribute("aria-label", `Pages of: ${page}`);
  }
  // Wide tables and equations scroll sideways: by keyboard too.
  for (const table of document.querySelectorAll(".pst-scrollable-table-container")) table.tabIndex = 0;
  window.MathJax?.startup?.promise?.then(() => {
    for (const equation of document.querySelectorAll("mjx-container[display]")) equation.tabIndex = 0;
  });
});
