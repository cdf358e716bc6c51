// Names for the theme's controls that screen readers would otherwise announce wrongly or not at all.

document.addEventListener("DOMContentLoaded", () => {
  // Their labels say less than their text.
  const labelled = ".search-button-field, summary[aria-label='Toggle hidden content']";
  for (const control of document.querySelectorAll(labelled)) control.removeAttribute("aria-label");
  for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const page = summary.closest("li").querySelector("a").textContent.trim();
    summary.setAttribute("aria-label", `Pages of: ${page}`);
  }
});
