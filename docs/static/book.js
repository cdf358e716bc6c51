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
  const entry = sidebar?.querySelector("li.current.active > a.current");
  if (!entry || !entry.offsetParent) return;
  const [outer, inner] = [sidebar.getBoundingClientRect(), entry.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > Math.min(outer.bottom, innerHeight)) {
    sidebar.scrollTop += inner.top - outer.top - sidebar.clientHeight / 3;
  }
});

// The search shows the beginning of a page's text, and that is the list of its contents. Better: the sentences around
// what was found, and a link to their section.
const BLOCKS = "p, li, dd, td, pre";

function excerpt(page, keywords, anchor) {
  const parsed = new DOMParser().parseFromString(page, "text/html");
  const article = parsed.querySelector("article.bd-article");
  if (!article) return null;
  for (const part of article.querySelectorAll(".headerlink, .toctree-wrapper, script, style, button")) part.remove();
  const inside = (anchor && parsed.getElementById(decodeURIComponent(anchor.slice(1)))) || article;
  const words = [...keywords].map((word) => word.toLowerCase());
  const found = [...inside.querySelectorAll(BLOCKS)]
    .filter((block) => !block.querySelector(BLOCKS))
    .map((block) => {
      const whole = (block.closest("tr") ?? block).textContent; // a cell of a table says little without its row
      const text = whole.replace(/\\[()[\],;]/g, "").replaceAll("\\cap", "∩").replace(/\s+/g, " ").trim();
      const hits = words.filter((word) => text.toLowerCase().includes(word));
      // Prose says more than code, and a sentence more than a word in a table.
      return { block, text, rank: 4 * hits.length + (block.tagName === "PRE" ? 0 : 1) + (text.length > 60 ? 2 : 0), hits };
    });
  const { block, text, hits } = found.reduce((best, next) => (next.rank > best.rank ? next : best), found[0] ?? { text: "", hits: [] });
  if (!text) return null;
  const hit = Math.min(...hits.map((word) => text.toLowerCase().indexOf(word)), text.length);
  const from = hit < 160 || !hits.length ? 0 : Math.max(hit - 160, text.slice(0, hit).search(/[.?!] [^.?!]*$/) + 2);
  const summary = Object.assign(document.createElement("p"), { className: "context" });
  summary.textContent = `${from ? "… " : ""}${text.slice(from, from + 280).trim()}${from + 280 < text.length ? " …" : ""}`;
  const section = block.closest("section")?.id;
  queueMicrotask(() => {
    const link = summary.closest("li")?.querySelector("a");
    if (link && !link.hash && section) link.hash = section;
  });
  return summary;
}

document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search !== "undefined") Search.makeSearchSummary = excerpt;
});
