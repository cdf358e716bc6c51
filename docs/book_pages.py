"""A Sphinx extension: what the book changes in links, badges of notebooks, solutions of exercises, and alt texts.

The front page gets a card for each notebook.

Sphinx changes the text after it has read it. The files on disk do not change.
"""

from __future__ import annotations

import html
import io
import json
import re
import tomllib
from pathlib import Path, PurePosixPath

import nbformat
import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

from carvana_lib.extras.thresholds import Histograms
from carvana_lib.metrics import dice
from notebooks.run import first_picture

_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]*)(#[^)\s]*)?\)")
_BADGES = re.compile(r"<!-- badges -->\n(.*?)\n<!-- /badges -->", re.DOTALL)
_BADGE = re.compile(r"\[!\[([^]]+)\]\([^)]+\)\]")
_SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL | re.MULTILINE)
_SOLVED = re.compile(r"Where a cell already shows\s+the solution, between marked lines, delete it and write your own\.")
_MARKER = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
_HIDDEN = re.compile(r"\n*### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", re.DOTALL)
_SHOWN = {".md", ".ipynb", ".rst", ".png", ".jpg", ".json", ".csv", ".pdf"}  # pages, pictures, small downloads


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", change_source)
    app.connect("doctree-read", add_alt_texts)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("build-finished", write_front_pages)
    app.connect("html-page-context", add_kaggle, priority=900)  # after the buttons of the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def change_source(app: Sphinx, page: str, source: list[str]) -> None:
    root, folder = Path(app.srcdir), PurePosixPath(page).parent
    if page == app.config.root_doc:
        assets = Path(app.config.html_static_path[1])  # what follows are folders of other extensions
        source[0] = source[0].replace("<!-- cards -->", cards(root, assets / "cards"))
        still = draw_curve(root / "docs" / "demo" / "curve.json")
        (assets / "demo" / "curve.svg").write_text(still, encoding="utf-8")
    repository = app.config.html_theme_options["repository_url"]
    if app.env.doc2path(page).suffix != ".ipynb":
        source[0] = relink(source[0], root, folder, repository)
        return
    notebook = nbformat.reads(source[0], as_version=4)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # A badge is a picture from another host: the book shows its text instead.
            text = _BADGES.sub(lambda row: _BADGE.sub(r"[\1]", row[1]).replace("\n", " · "), cell.source)
            cell.source = _SOLVED.sub(
                "Each solution is folded below its exercise.", relink(text, root, folder, repository)
            )
        cells.extend([cell] if cell.cell_type == "markdown" else code_cells(cell))
    if folder.name == "notebooks":
        title, promise, rest = cells[0].source.split("\n\n", 2)
        first = card(notebook, PurePosixPath(page).name, Path(app.config.html_static_path[1]) / "cards")
        cells[0].source = "\n\n".join([title, first.replace("<img", '<img class="first-picture"'), promise, rest])
        exercises = f"```{{toctree}}\n:hidden:\n\nExercises <exercises/{PurePosixPath(page).name}>\n```"
        cells.append(nbformat.v4.new_markdown_cell(exercises))
    notebook.cells = cells
    source[0] = nbformat.writes(notebook)


def cards(root: Path, pictures: Path) -> str:
    """HTML with a card for each notebook: picture, title, promise, minutes. The pictures are written to a folder."""
    parts = []
    for path in sorted((root / "notebooks").glob("[01]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        title, promise = notebook.cells[0].source.split("\n\n")[:2]
        minutes = re.search(r"\*\*Time\*\* (\d+) minutes", notebook.cells[0].source)[1]
        picture = card(notebook, path.stem, pictures)
        promise = html.escape(re.sub(r"[`*]", "", promise).replace("\n", " "))
        parts.append(
            f'<a href="../notebooks/{path.stem}.html">{picture}<strong>{html.escape(title.lstrip("# "))}</strong>'
            f"<span>{promise}</span><small>{minutes} minutes to read</small></a>"
        )
    return '<div class="cards">\n' + "\n".join(parts) + "\n</div>"


def card(notebook: nbformat.NotebookNode, name: str, pictures: Path) -> str:
    """The notebook's first picture, made small, as HTML; its file is written to the folder `pictures`."""
    pictures.mkdir(exist_ok=True)
    if not (first := first_picture(notebook)):
        return ""
    image = Image.open(io.BytesIO(first)).convert("RGB")
    image.thumbnail((560, 560), Image.Resampling.LANCZOS)
    image.save(pictures / f"{name}.jpg", quality=80, optimize=True)
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="../_static/cards/{name}.jpg" alt="" loading="lazy" {size}>'


def draw_curve(counts: Path) -> str:
    """The curve of the page "One threshold for all photos" as SVG, for a browser without JavaScript."""
    photos = json.loads(counts.read_text(encoding="utf-8"))
    found = Histograms(*(np.array([photo[kind] for photo in photos]) for kind in ("car", "background"))).all_counts()
    curve = dice(found.flatten(0, 1), "none").reshape(found.shape[:2]).mean(0).tolist()
    points = " ".join(
        f"{60 + 5.26 * i:.1f},{332 - 318 * (y - 0.97) / 0.03:.1f}" for i, y in enumerate(curve) if y > 0.97
    )
    words = [(52, 20, "end", "1.00"), (52, 338, "end", "0.97"), (60, 354, "middle", "0"), (586, 354, "middle", "1")]
    words += [(323, 372, "middle", "threshold"), (52, 180, "end", "Dice")]
    texts = "".join(f'<text x="{x}" y="{y}" text-anchor="{end}">{word}</text>' for x, y, end, word in words)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 380" font-size="14" font-family="sans-serif">'
        f'<rect width="600" height="380" fill="#fff"/><path d="M60 14V332H586" fill="none" stroke="#888"/>{texts}'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="4"/></svg>\n'
    )


def relink(text: str, root: Path, folder: PurePosixPath, repository: str) -> str:
    """Markdown whose links to source files lead to the book's page about them, or else to the repository."""

    def replaced(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = (root / folder / target).resolve()
        if not target or not path.is_relative_to(root):
            return match[0]
        inside = path.relative_to(root)
        if inside.as_posix() == "README.md":
            return f"]({'../' * len(folder.parts)}docs/index.md)"
        if inside.parts[0] == "carvana_lib" and path.suffix == ".py" and path.stem[0] != "_":
            return f"](#{'.'.join(inside.with_suffix('').parts)})"
        if path.exists() and path.suffix not in _SHOWN:
            return f"]({repository}/{'tree' if path.is_dir() else 'blob'}/main/{inside.as_posix()}{anchor})"
        return match[0]

    return _LINK.sub(replaced, text)


def code_cells(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that the book shows: the set-up cell folded, an exercise and its folded solution, no hidden tests."""
    cell.source = _HIDDEN.sub("", cell.source)
    if "### BEGIN SOLUTION" in cell.source:
        solution = nbformat.v4.new_code_cell(_MARKER.sub("", cell.source))
        fold(solution, "a solution")
        cell.source = _SOLUTION.sub(r"\1raise NotImplementedError()", cell.source)
        return [cell, solution]
    if "CARVANA_REPOSITORY" in cell.source:
        fold(cell, "the set-up cell")
    if "hide-output" in cell.metadata.get("tags", []):
        fold(cell, "what comes out", "hide-output")
    return [cell]


def fold(cell: nbformat.NotebookNode, what: str, tag: str = "hide-input") -> None:
    cell.metadata["tags"] = [tag]
    cell.metadata["mystnb"] = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}


def add_alt_texts(app: Sphinx, doctree: nodes.document) -> None:
    """Give the pictures in outputs of cells the alt text and the width that the notebook has for them."""
    path = Path(app.env.doc2path(app.env.current_document.docname))
    if path.suffix != ".ipynb":
        return
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    looks = [o.metadata.get("image/png", {}) for o in outputs if "image/png" in o.get("data", {})]
    pictures = [node for node in doctree.findall(nodes.image) if node.parent.get("mime_type") == "image/png"]
    for picture, look in zip(pictures, looks, strict=True):
        if "alt" in look:
            picture["alt"] = look["alt"]
        if "width" in look:  # the file is finer: Sphinx makes the picture a link to it
            picture["width"] = f"{look['width']}px"


def escape_bars(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """In docstrings |X| is a number of pixels; without this, reStructuredText would read it as a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def add_kaggle(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Add Kaggle, which the theme does not know, to the launch menu of a notebook."""
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            colab = next(button["url"] for button in group["buttons"] if button["text"] == "Colab")
            source = colab.replace("colab.research.google.com/github", "github.com")
            address = f"https://kaggle.com/kernels/welcome?src={source}"
            group["buttons"].append(
                {"type": "link", "text": "Kaggle", "tooltip": "Launch on Kaggle", "icon": "fas fa-k", "url": address}
            )


def write_front_pages(app: Sphinx, error: Exception | None) -> None:
    """Write index.html, which leads on to the book, and 404.html, which GitHub Pages shows for a page that is gone."""
    out, home = Path(app.outdir), app.config.ogp_site_url
    project = tomllib.loads((Path(app.srcdir) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    preview = {
        "og:title": "U-Net on Carvana",
        "og:description": project["description"],
        "og:image": f"{home}_static/teaser.jpg",
        "og:url": home,
    }
    start = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    tags = "".join(f'<meta property="{name}" content="{html.escape(text)}">' for name, text in preview.items())
    (out / "index.html").write_text(
        f'{start}<title>U-Net on Carvana</title>{tags}<link rel="icon" href="_static/favicon.svg">'
        '<meta http-equiv="refresh" content="0; url=docs/index.html">'
        '<main><h1>U-Net on Carvana</h1><a href="docs/index.html">Begin here</a></main></html>\n'
    )
    # It is shown at any depth, so its links are whole addresses, and it loads nothing.
    (out / "404.html").write_text(
        f'{start}<title>Not here · U-Net on Carvana</title><link rel="icon" href="data:,">'
        "<main><h1>This page is not here</h1><p>It may have moved. "
        f'<a href="{home}docs/index.html">Start page</a> · <a href="{home}search.html">Search</a></p></main></html>\n',
        encoding="utf-8",
    )
