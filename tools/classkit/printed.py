"""Pages to print, from the templates beside this file: Markdown in, one HTML file out that needs nothing else."""

from __future__ import annotations

import html
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert.filters import markdown2html

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["gift"] = lambda text: re.sub(r"([\\~=#{}:])", r"\\\1", text).replace("\n", " ")
_HEADING = re.compile(r'<(h\d)[^>]*>(.*?)<a class="anchor-link".*?</a></\1>')


def render(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(template).render(values)


def web_page(text: str, small: bool = False) -> str:
    """Markdown as a web page; `small` letters bring a full sheet onto one side of A4."""
    body = _HEADING.sub(_anchored, markdown2html(text))
    return render("page.html", title=text.splitlines()[0].lstrip("# "), body=body, small=small)


def _anchored(heading: re.Match) -> str:
    """The heading with the anchor that GitHub makes of it, as links are written, instead of nbconvert's."""
    plain = html.unescape(re.sub(r"<[^>]+>", "", heading[2])).lower()
    anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
    return f'<{heading[1]} id="{anchor}">{heading[2]}</{heading[1]}>'
