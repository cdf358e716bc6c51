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

// The theme keeps how far the sidebar was scrolled. After a link in the text, the page's own entry may be out of sight.
window.addEventListener("load", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  const entry = sidebar?.querySelector("li.current.active > a");
  if (!entry || !entry.offsetParent) return;
  const [outer, inner] = [sidebar.getBoundingClientRect(), entry.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > Math.min(outer.bottom, innerHeight)) {
    sidebar.scrollTop += inner.top - outer.top - sidebar.clientHeight / 3;
  }
});
