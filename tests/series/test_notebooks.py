"""The rules every notebook keeps, and that a broken rule is noticed. nbval runs them separately."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from notebook_rules import DESCRIBED, faults, helpers, import_faults, setup_cell

from tools.notebooks import set_up_cell

ROOT = Path(__file__).parents[2]
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
PATHS = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
NOTEBOOKS = {path: nbformat.read(path, as_version=4) for path in PATHS}


def test_they_are_numbered_in_order():
    assert [path.name[:2] for path in PATHS] == [f"{number:02d}" for number in range(1, len(PATHS) + 1)]
    assert len(PATHS) >= 11


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rules(path):
    assert faults(NOTEBOOKS[path], path) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "app").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_cells_of_the_apps_keep_the_rules(path):
    assert [fault for fault in faults(nbformat.read(path, as_version=4), path) if fault.startswith("cell")] == []


@pytest.mark.parametrize(
    "path",
    [path for folder in ("app", "exercises") for path in sorted((ROOT / "notebooks" / folder).glob("*.ipynb"))],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_apps_and_exercises_import_as_notebooks_do(path):
    assert list(import_faults(nbformat.read(path, as_version=4))) == []


@pytest.mark.parametrize(
    ("number", "tool"),
    [
        ("02", "Turntable"),
        ("03", "AugmentationExplorer"),
        ("04", "FeatureViewer"),
        ("08", "ThresholdTuner"),
        ("09", "PhotoSegmenter"),
    ],
)
def test_a_page_without_a_kernel_shows_the_tools_still_picture(number, tool):
    notebook = next(notebook for path, notebook in NOTEBOOKS.items() if path.name.startswith(number))
    cell = next(
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and re.search(rf"^(tool = )?{tool}\(", cell.source, re.MULTILINE)
    )
    # The sentence is also drawn into the picture: nbconvert's other template leaves out alt texts.
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    pictures = re.findall(r"<img[^>]*>", page)
    assert len(pictures) == 1
    assert "data:image/png;base64," in pictures[0]
    assert f"Still picture of {tool}: run this cell in JupyterLab" in pictures[0]
    assert "widget-view" not in page.split("<body")[1]


def test_no_helper_is_defined_twice_or_is_in_the_library_too():
    seen: dict[str, str] = {}
    for path, notebook in NOTEBOOKS.items():
        for name in helpers(notebook):
            assert name not in seen, f"{name} is defined in {seen[name]} and in {path.name}: move it to carvana_lib"
            seen[name] = path.name


def test_the_set_up_cell_is_the_same_everywhere():
    exercises = [nbformat.read(path, as_version=4) for path in (ROOT / "notebooks" / "exercises").glob("*.ipynb")]
    assert {setup_cell(notebook) for notebook in [*NOTEBOOKS.values(), *exercises]} == {set_up_cell()}


def broken(change):
    """The first notebook with one thing changed, and its faults."""
    path = PATHS[0]
    notebook = copy.deepcopy(NOTEBOOKS[path])
    change(notebook)
    return " ".join(faults(notebook, path))


def code(notebook, which=-1):
    return [cell for cell in notebook.cells if cell.cell_type == "code"][which]


def shown(notebook):
    return next(
        o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    )


def add_output(notebook, kind, **fields):
    code(notebook).outputs.append(nbformat.v4.new_output(kind, **fields))


def long_cell(notebook):
    code(notebook).source = "\n".join(["x = 1"] * 16)


def add_line(notebook, line):
    code(notebook).source += "\n" + line


def without_recap(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace("## Recap", "## So")


def without_the_sample(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace(DESCRIBED[0], "")


FAULTS = [
    (lambda n: code(n).update(execution_count=None), "not executed"),
    (lambda n: code(n).update(execution_count=99), "top to bottom"),
    (lambda n: code(n, -2).update(outputs=[]), "no output"),
    (lambda n: add_output(n, "error", ename="ValueError", evalue="", traceback=[]), "an error output"),
    (lambda n: add_output(n, "stream", name="stderr", text="careful"), "stderr"),
    (lambda n: add_output(n, "stream", name="stdout", text="in /home/me/data"), "absolute path"),
    (lambda n: add_output(n, "stream", name="stdout", text="<object at 0x7f00aa>"), "memory address"),
    (lambda n: shown(n).data.update({"application/vnd.jupyter.widget-view+json": {}}), "a tool without its kernel"),
    (long_cell, "16 lines"),
    (lambda n: n.cells.extend(copy.deepcopy(n.cells)), "more than 30"),
    (lambda n: n.cells.append(nbformat.v4.new_markdown_cell("See [this](nowhere.ipynb).")), "leads nowhere"),
    (without_recap, "'## Recap' is missing"),
    (without_the_sample, "describes the rendered cars"),
    (lambda n: shown(n).update(metadata={}), "without alt text"),
    (lambda n: code(n).update(source="!ls\nprint(1)"), "shell or magic"),
    (lambda n: n.metadata.pop("kernelspec"), "kernelspec"),
    (lambda n: add_line(n, "import carvana_lib.unet as u"), "import names"),
    (lambda n: add_line(n, "from carvana_lib import UNet"), "2 statements"),
    (lambda n: add_line(n, "from carvana_lib.unet import UNet"), "keep what the notebook is about"),
    (lambda n: add_line(n, "from carvana_lib import metrics"), "no public name metrics"),
    (lambda n: add_line(n, "from carvana_lib import UNet"), "more than one cell"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_broken_rule_is_noticed(change, message):
    assert message in broken(change)


def test_a_helper_is_found_in_its_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("def twice(x):\n    return 2 * x")])
    assert helpers(notebook) == {"twice"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_there_is_something_to_do_before_the_middle(path):
    cells = NOTEBOOKS[path].cells
    task = re.compile(r"\*\*Your turn|^(tool = )?(Turntable|PhotoSegmenter|ThresholdTuner)\(", re.MULTILINE)
    assert any(task.search(cell.source) for cell in cells[: len(cells) // 2])


def predictions(path):
    """Of each "Predict, then run": the code cell that answers it, and the Markdown directly after that cell."""
    cells = NOTEBOOKS[path].cells
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "**Predict, then run.**" in cell.source:
            at = next(i for i in range(place + 1, len(cells)) if cells[i].cell_type == "code")
            after = cells[at + 1] if at + 1 < len(cells) else None
            yield cells[at], after.source if after and after.cell_type == "markdown" else ""


def output_text(cell):
    """What a cell printed, its tables, and the alt texts of its pictures."""
    return "\n".join(
        str(part)
        for output in cell.outputs
        for part in (
            output.get("text", ""),
            *(text for kind, text in output.get("data", {}).items() if kind.startswith("text/")),
            output.get("metadata", {}),
        )
    )


# Their outputs are pictures without a number, in alt text or in text.
ANSWERED_IN_WORDS = {"c9d026b8", "bd8203aa", "c3e84f0a", "442702b1", "6792bb32", "b47b35d8"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_prediction_is_hidden_and_then_answered_with_the_number_just_seen(path):
    found = list(predictions(path))
    assert len(found) >= 4
    for cell, answer in found:
        assert cell.metadata.get("jupyter", {}).get("outputs_hidden") is True, cell.source
        assert "hide-output" in cell.metadata.get("tags", []), cell.source
        assert answer, f"no answer follows:\n{cell.source}"
        if cell.id not in ANSWERED_IN_WORDS:
            seen = set(_NUMBER.findall(output_text(cell).replace(",", "")))
            first = answer.split("\n\n")[0].replace(",", "")
            assert seen & set(_NUMBER.findall(first)), f"no number of the output in: {first}"


def test_the_row_of_pixels_in_04_is_the_field_that_its_next_cell_counts():
    cells = next(notebook for path, notebook in NOTEBOOKS.items() if path.name.startswith("04")).cells
    place = next(i for i, cell in enumerate(cells) if "the logit   " in cell.source)
    rows = re.findall(r"^    [a-z ]+  ([.#]+)", cells[place].source, re.MULTILINE)
    assert len(rows) == 6
    assert f"depth 1: {rows[-1].count('#')} pixels wide" in output_text(cells[place + 1])
    assert {(row.find("#"), row.rfind("#")) for row in rows[2:4]} == {(10, 15), (6, 19)}  # level 1 is two wide


def test_the_look_back_quotes_what_the_lessons_show():
    """Notebook 12 has a verdict for each suspect of notebook 01, with numbers from the pages that the row links to."""
    first, last = ("\n".join(c.source for c in NOTEBOOKS[PATHS[n]].cells if c.cell_type == "markdown") for n in (0, 11))
    suspects = re.findall(r"^\| ([^|]+) \| \[", first.split("| suspect | notebook |")[1], flags=re.M)
    rows = re.findall(r"^\| ([A-Z][^|]+) \| ([^|]+) \| (.+) \|$", last.split("| suspect | verdict |")[1], flags=re.M)
    assert len(suspects) == len(rows[:6]) == 6
    for suspect, (short, verdict, why) in zip(suspects, rows[:6], strict=True):
        assert suspect.startswith(short), suspect
        assert verdict
        shown = "".join(output_text(c) for p in PATHS if p.name in why for c in NOTEBOOKS[p].cells if "outputs" in c)
        shown += (ROOT / "docs" / "results.md").read_text(encoding="utf-8") if "docs/results.md" in why else ""
        numbers = re.findall(r"\d+\.\d+", re.sub(r"\([^)]*\)", "", why))
        assert numbers
        assert [number for number in numbers if number not in shown] == [], short
