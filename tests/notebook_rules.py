"""The rules for every notebook of the series; `faults` lists where a notebook breaks one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

import carvana_lib

MAX_CELLS, MAX_LINES = 30, 15
# A reader may have named other photos; 11 has data of its own.
DESCRIBED = (
    "The text describes the rendered cars of `data/sample`.",
    "The text describes the drawn cells of `data/cells`.",
)
PARTS = ("<!-- badges -->", "**You will learn**", "**You need**", "**Time**", "Next:", "## Set-up")
SECTIONS = ("## When it goes wrong", "## Exercises", "## Recap", "## Next")
_ABSOLUTE = re.compile(
    r"(?<![\w:/.])/(home|root|work|Users|tmp|mnt|opt|usr|content|var)/|\b[A-Z]:\\{1,2}(Users|Windows|Program|Temp)"
)
_SPEAKS = re.compile(r"\b(print|show|show_table|display)\(")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def faults(notebook: nbformat.NotebookNode, path: Path) -> list[str]:
    """One line for each fault; none if the notebook keeps all rules."""
    return [
        *_whole(notebook, path),
        *import_faults(notebook),
        *(f"cell {n}: {fault}" for n, c in enumerate(notebook.cells) for fault in _cell(c)),
    ]


def helpers(notebook: nbformat.NotebookNode) -> set[str]:
    """Names of the functions and classes that a notebook defines."""
    return {node.name for node in _nodes(notebook) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def import_faults(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Library imports beyond two statements in one cell: `from carvana_lib import ...`, and one from a module."""
    public, modules = [], []
    for node in _nodes(notebook):
        if isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names):
            yield f"{ast.unparse(node)!r}: import names, `from carvana_lib import ...`"
        elif isinstance(node, ast.ImportFrom) and node.module == "carvana_lib":
            public.append(node)
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            modules.append(node.module)
    if len(public) > 1:
        yield f"{len(public)} statements `from carvana_lib import ...`: make them one"
    if len(modules) > 1:
        yield f"imports from {', '.join(modules)}: keep what the notebook is about, take the rest from carvana_lib"
    for name in [alias.name for node in public for alias in node.names]:
        if name not in carvana_lib.__all__:
            yield f"carvana_lib has no public name {name}: see the table in carvana_lib/__init__.py"
    if sum("from carvana_lib" in cell.source for cell in notebook.cells if cell.cell_type == "code") > 1:
        yield "library imports in more than one cell: put them into the first cell of imports"


def setup_cell(notebook: nbformat.NotebookNode) -> str:
    return next((cell.source for cell in notebook.cells if cell.cell_type == "code"), "")


def is_python(cell: nbformat.NotebookNode) -> bool:
    return not any(line.lstrip().startswith(("!", "%")) for line in cell.source.splitlines())


def _nodes(notebook: nbformat.NotebookNode) -> Iterator[ast.AST]:
    for cell in notebook.cells:
        if cell.cell_type == "code" and is_python(cell):
            yield from ast.walk(ast.parse(cell.source))


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "carvana_lib"


def _whole(notebook: nbformat.NotebookNode, path: Path) -> Iterator[str]:
    if len(notebook.cells) > MAX_CELLS:
        yield f"{len(notebook.cells)} cells, more than {MAX_CELLS}"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "no kernelspec python3: JupyterLab would stop at a dialog"
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for part in (*PARTS, *SECTIONS):
        if part not in text:
            yield f"the template's part {part!r} is missing"
    if not any(sentence in text for sentence in DESCRIBED):
        yield f"the template's part {DESCRIBED[0]!r} is missing"
    if not re.match(r"# \d\d · ", notebook.cells[0].source):
        yield "the first cell does not start with '# NN · Title'"
    if "Predict, then run" not in text:
        yield "no 'Predict, then run' question"
    for target in _LINK.findall(text):
        if not (path.parent / target).exists():
            yield f"the link to {target} leads nowhere"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if sum(cell.source.startswith("# Checkpoint") for cell in code) < 2:
        yield "fewer than two checkpoints"
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "not run from top to bottom in a new kernel: python -m tools.notebooks notebooks/" + path.name


def _cell(cell: nbformat.NotebookNode) -> Iterator[str]:
    if _ABSOLUTE.search(cell.source):
        yield "an absolute path in the source"
    if cell.cell_type != "code":
        return
    lines = cell.source.splitlines()
    if len(lines) > MAX_LINES:
        yield f"{len(lines)} lines of code, more than {MAX_LINES}"
    if cell.execution_count is None:
        yield "not executed: nbval would not compare it"
    if not is_python(cell):
        yield "a shell or magic line: nbval counts one that times out as passed"
    elif _should_speak(cell) and not cell.outputs:
        yield "no output, though the cell shows something"
    for output in cell.outputs:
        yield from _output(output)


def _should_speak(cell: nbformat.NotebookNode) -> bool:
    """Whether the cell prints or shows something outside of functions, or ends with a value."""
    body = ast.parse(cell.source).body
    top = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)]
    ends_in_value = (
        bool(body) and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call | ast.Constant)
    )
    return ends_in_value or any(_SPEAKS.search(ast.unparse(node)) for node in top)


def _output(output: nbformat.NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"an error output: {output.ename}"
    if output.output_type == "stream" and output.name == "stderr":
        yield f"a warning or other text on stderr: {output.text[:60]!r}"
    data = output.get("data", {})
    text = output.get("text", "") + "".join(str(data.get(kind, "")) for kind in ("text/plain", "text/markdown"))
    if _ABSOLUTE.search(text):
        yield f"an absolute path in the output: {text[:80]!r}"
    if re.search(r"\bat 0x[0-9a-f]+", text):
        yield "a memory address in the output: it changes with every run"
    if "application/vnd.jupyter.widget-view+json" in data:
        yield "a tool without its kernel: save with `python -m tools.notebooks`, which keeps its still picture"
    for kind in ("image/png", "image/jpeg"):
        if kind in data and not output.metadata.get(kind, {}).get("alt"):
            yield "an image without alt text: use `show` of carvana_lib"
