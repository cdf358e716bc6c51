"""Check a built site: every link, picture and script leads to a file of the site, and every anchor exists.

    python -m tools.site.check build/book

Links to other hosts are not followed. A page that loads a file from another host is a fault.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"img": "src", "script": "src", "source": "src", "iframe": "src", "video": "src", "link": "href"}


class Page(HTMLParser):
    """The addresses that a page names: `links` to follow, `loads` of files it needs. And its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.anchors.update(values[key] for key in ("id", "name") if values.get(key))
        if values.get(LOADS.get(tag, "")):
            self.loads.append(values[LOADS[tag]])
        elif tag == "a" and values.get("href"):
            self.links.append(values["href"])


def faults(site: Path) -> list[str]:
    """One line for each address that leads nowhere, and for each file that a page loads from another host."""
    # _static has templates of the theme, which are not pages.
    paths = [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] != "_static"]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found = []
    for path, page in pages.items():
        here = path.relative_to(site)
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto") or parts.netloc:
                if address in page.loads:
                    found.append(f"{here} loads {address} from another host")
                continue
            if parts.scheme in ("data", "javascript"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{here} links to {address}, which does not exist")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{here} links to {address}, but that page does not have this anchor")
    return found


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]).resolve())
    print("\n".join(lines) or "Every link and anchor is there.")
    sys.exit(bool(lines))
