"""Run the notebooks in order, on the bundled data, and save the executed copies as web pages.

    python notebooks/run.py [--out build/series]

It stops at the first notebook that fails, and names the cell and the reason. The notebooks themselves do not change.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCORES = HERE / "runs" / "scores.json"  # notebook 07 writes it
CELL_SECONDS = 3600  # the longest that a cell may take; the slowest needs half a minute on two cores
_MEMORY = """
try:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9))
except ImportError:
    print("nan")
"""


def place(text: str) -> Path:
    """A path; `~` is the home directory, also where no shell replaced it, as in --out=~/series."""
    return Path(text).expanduser()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "build" / "series")
    parser.add_argument("notebooks", nargs="*", type=place, help="default: all")
    options = parser.parse_args()
    os.environ["CARVANA_DATA"] = str(ROOT / "data" / "sample")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot make the folder {options.out} ({error.strerror}): name another --out")
    paths = options.notebooks or sorted(HERE.glob("[01]*.ipynb"))
    began, pages = time.perf_counter(), []
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path.name} ", end="", flush=True)
        started = time.perf_counter()
        try:
            notebook, gigabytes = run_copy(path)
        except DeadKernelError:
            print("FAILED\n\nIts Python process died, probably for lack of memory: close programs, then run again.")
            return 1
        except (OSError, nbformat.reader.NotJSONError) as error:
            print(f"FAILED\n\n{path} cannot be read as a notebook ({error}): check the path.")
            return 1
        except (CellExecutionError, CellTimeoutError) as error:
            print(f"FAILED\n\n{failure(error)}\n\nOpen {path} in JupyterLab and run its cells to see where.")
            return 1
        except KeyboardInterrupt:
            print("stopped. The notebooks before it are done; the same command starts from the first notebook.")
            return 130
        seconds = time.perf_counter() - started
        print(f"{seconds:.0f} s, {gigabytes:.1f} GB")
        pages.append(save(notebook, path, options.out))
    table = html.escape(closing_table(json.loads(SCORES.read_text()))) if SCORES.exists() else ""
    write_index(pages, options.out, foot=f"<pre>{table}</pre>\n")
    print(f"\n{len(paths)} notebooks in {time.perf_counter() - began:.0f} s: {shown(options.out / 'index.html')}")
    if SCORES.exists():
        print(f"\n{closing_table(json.loads(SCORES.read_text()))}")
    print("\nNext: `make lab`, and open notebooks/01_a_mask_in_ten_minutes.ipynb.")
    return 0


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run all cells of the notebook in `folder`, with a new kernel; the notebook gets their outputs.

    Raises:
        CellExecutionError, CellTimeoutError: a cell failed, or took longer than `CELL_SECONDS`.
        DeadKernelError: the kernel's process ended.
    """
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        startup_timeout=600,
        iopub_timeout=600,  # seconds for an output to arrive after its cell has run
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=40"],
        store_widget_state=False,  # a page then shows the still pictures of widgets and needs no internet
    ).execute()


def run_copy(path: Path) -> tuple[nbformat.NotebookNode, float]:
    """A copy of the notebook with new outputs, and the peak memory of its kernel in GB (nan where it is unknown)."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(_MEMORY))
    execute(notebook, path.parent)
    return notebook, float(notebook.cells.pop().outputs[0].text)


def failure(error: Exception) -> str:
    """The cell that failed and the reason, without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()


def save(notebook: nbformat.NotebookNode, path: Path, out: Path) -> tuple[str, str, str]:
    """Save the executed copy as a notebook and as a web page; returns the page's name, title and promise."""
    nbformat.write(notebook, out / path.name)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    page = path.with_suffix(".html").name
    (out / page).write_text(relink(describe(body, notebook), path.parent, out), encoding="utf-8")
    if picture := first_picture(notebook):
        (out / page).with_suffix(".png").write_bytes(picture)
    title, promise = notebook.cells[0].source.split("\n\n")[:2]
    return page, title.lstrip("# "), promise.replace("`", "")  # the index shows plain text


def first_picture(notebook: nbformat.NotebookNode) -> bytes | None:
    """The first picture among the outputs, as the bytes of a PNG file."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    found = next((data["image/png"] for data in outputs if "image/png" in data), None)
    return base64.b64decode(found) if found else None


def describe(page: str, notebook: nbformat.NotebookNode) -> str:
    """The page with the alt texts of its figures, which nbconvert leaves out."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = iter(
        [o.metadata["image/png"]["alt"] for o in outputs if "alt" in o.get("metadata", {}).get("image/png", {})]
    )
    missing = 'alt="No description has been provided for this image"'
    return re.sub(missing, lambda _: f'alt="{html.escape(next(texts, ""))}"', page)


def relink(page: str, folder: Path, out: Path) -> str:
    """The page with links that work in `out`: to the pages of other notebooks, and to files relative to `folder`."""
    page = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', page)
    back = Path(os.path.relpath(folder, out)).as_posix()
    return re.sub(r'href="(?=\.\./|exercises/)', f'href="{back}/', page)


def write_index(
    pages: list[tuple[str, str, str]], out: Path, heading: str = "U-Net on Carvana", foot: str = ""
) -> None:
    """Write index.html in `out`: a list of the pages (name, title, promise), and `foot`, HTML, below it.

    A page whose PNG lies beside it has it as its picture.
    """
    items = "\n".join(
        f'<li><a href="{page}">{_picture(out / page)}{html.escape(title)}</a><br>{html.escape(promise)}</li>'
        for page, title, promise in pages
    )
    (out / "index.html").write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{heading}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>\n"
        "body { font-family: sans-serif; max-width: 48rem; margin: 3rem auto; padding: 0 1rem; line-height: 1.6 }\n"
        "ul { list-style: none; padding: 0 } li { clear: both; min-height: 8em; margin: 1em 0 }\n"
        "a { font-weight: bold } pre { overflow-x: auto }\n"
        "img { float: left; margin-right: 1em; width: 11em; height: 7em; object-fit: contain; object-position: top }\n"
        "@media (max-width: 36rem) { img { float: none; display: block; height: auto } }\n</style>\n<body>\n"
        f"<h1>{heading}</h1>\n<ul>\n{items}\n</ul>\n{foot}</body></html>\n",
        encoding="utf-8",
    )


def _picture(page: Path) -> str:
    picture = page.with_suffix(".png")
    return f'<img src="{picture.name}" alt="">' if picture.exists() else ""


def closing_table(scores: dict[str, dict[str, float]]) -> str:
    """A table, as text, of accuracy and Dice of the net and the baselines."""
    rows = [f"{name:42}{row['accuracy']:10.4f}{row['dice']:8.4f}" for name, row in scores.items()]
    return "\n".join([f"{'on cars the net never saw':42}{'accuracy':>10}{'Dice':>8}", *rows])


def shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
