"""Run the ten notebooks in order, on the bundled data, and keep the executed copies as web pages.

    python notebooks/run.py [--out build/series]

Stops at the first notebook that fails, with the cell and the reason. The committed notebooks are
not changed.
"""

from __future__ import annotations

import argparse
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
SCORES = HERE / "runs" / "scores.json"  # written by notebook 07
_MEMORY = """
try:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9))
except ImportError:
    print("nan")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "series")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all ten")
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
            notebook, gigabytes = execute(path)
        except DeadKernelError:
            print("FAILED\n\nIts Python process died, most likely for lack of memory: close programs, run again.")
            return 1
        except (OSError, nbformat.reader.NotJSONError) as error:
            print(f"FAILED\n\n{path} cannot be read as a notebook ({error}): check the path.")
            return 1
        except (CellExecutionError, CellTimeoutError) as error:
            print(f"FAILED\n\n{failure(error)}\n\nOpen {path} in JupyterLab and run its cells to see where.")
            return 1
        except KeyboardInterrupt:
            print("stopped. The notebooks before it are done; the same command starts again.")
            return 130
        seconds = time.perf_counter() - started
        print(f"{seconds:.0f} s, {gigabytes:.1f} GB")
        pages.append(save(notebook, path, options.out))
    write_index(pages, options.out)
    print(f"\n{len(paths)} notebooks in {time.perf_counter() - began:.0f} s: {shown(options.out / 'index.html')}")
    if SCORES.exists():
        print(f"\n{closing_table(json.loads(SCORES.read_text()))}")
    print("\nNext: `make lab`, and open notebooks/01_a_mask_in_ten_minutes.ipynb.")
    return 0


def execute(path: Path) -> tuple[nbformat.NotebookNode, float]:
    """The notebook with fresh outputs, and its kernel's peak memory in GB (nan where nobody counts it)."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(_MEMORY))
    quiet = ["--IPKernelApp.log_level=40"]
    folder = {"metadata": {"path": str(path.parent)}}
    # Without the state of its widgets a page shows their still pictures; with it, it would need the internet.
    NotebookClient(notebook, timeout=600, resources=folder, extra_arguments=quiet, store_widget_state=False).execute()
    return notebook, float(notebook.cells.pop().outputs[0].text)


def failure(error: Exception) -> str:
    """The failing cell and the reason, without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()


def save(notebook: nbformat.NotebookNode, path: Path, out: Path) -> tuple[str, str, str]:
    """Write the executed copy as notebook and as web page; returns the page's name, title and promise."""
    nbformat.write(notebook, out / path.name)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    page = path.with_suffix(".html").name
    (out / page).write_text(relink(describe(body, notebook), path.parent, out), encoding="utf-8")
    title, promise = notebook.cells[0].source.split("\n\n")[:2]
    return page, title.lstrip("# "), promise


def describe(page: str, notebook: nbformat.NotebookNode) -> str:
    """The figures' alt texts, which nbconvert leaves out of a page."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = iter(
        [o.metadata["image/png"]["alt"] for o in outputs if "alt" in o.get("metadata", {}).get("image/png", {})]
    )
    missing = 'alt="No description has been provided for this image"'
    return re.sub(missing, lambda _: f'alt="{html.escape(next(texts, ""))}"', page)


def relink(page: str, folder: Path, out: Path) -> str:
    """Links to other notebooks of the series lead to their pages, those to files in `folder` to these files."""
    page = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', page)
    back = Path(os.path.relpath(folder, out)).as_posix()
    return re.sub(r'href="(?=\.\./|exercises/)', f'href="{back}/', page)


def write_index(pages: list[tuple[str, str, str]], out: Path) -> None:
    items = "\n".join(
        f'<li><a href="{page}">{html.escape(title)}</a><br>{html.escape(promise)}</li>'
        for page, title, promise in pages
    )
    (out / "index.html").write_text(
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>U-Net on Carvana</title>\n'
        '<body style="font-family: sans-serif; max-width: 40rem; margin: 3rem auto; line-height: 1.6">\n'
        "<style>ul { list-style: none; padding: 0 } li { margin: 1em 0 } a { font-weight: bold }</style>\n"
        f"<h1>U-Net on Carvana</h1>\n<ul>\n{items}\n</ul>\n</body></html>\n",
        encoding="utf-8",
    )


def closing_table(scores: dict[str, dict[str, float]]) -> str:
    """Accuracy and Dice of the net and of the baselines, as text."""
    rows = [f"{name:42}{row['accuracy']:10.4f}{row['dice']:8.4f}" for name, row in scores.items()]
    return "\n".join([f"{'on cars the net never saw':42}{'accuracy':>10}{'Dice':>8}", *rows])


def shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
