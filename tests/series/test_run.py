"""`make run`: pages with links to one another, and a stop at the first notebook that fails."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

RUN = Path(__file__).parents[2] / "notebooks" / "run.py"


def notebook(path: Path, *sources: str) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell(f"# {path.stem[:2]} · Title\n\nA promise & more.\n\n[next](02_second.ipynb)")
    ]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    cells.append(nbformat.v4.new_markdown_cell("[task](exercises/01_first.ipynb) [home](../README.md)"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def run(out: Path, *paths: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(RUN), "--out", str(out), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


def test_pages_lead_to_one_another(folder):
    paths = [notebook(folder / name, "print(6 * 7)") for name in ("01_first.ipynb", "02_second.ipynb")]
    before = paths[0].read_bytes()
    out = folder.parent / "build" / "series"
    done = run(out, *paths)
    assert done.returncode == 0, done.stderr
    assert "[1/2] 01_first.ipynb" in done.stdout
    assert "[2/2] 02_second.ipynb" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr
    index = (out / "index.html").read_text()
    assert index.index("01_first.html") < index.index("02_second.html")
    assert "A promise &amp; more." in index
    page = (out / "01_first.html").read_text()
    assert ">42" in page
    for target in ("02_second.html", "../../notebooks/exercises/01_first.ipynb", "../../notebooks/../README.md"):
        assert f'href="{target}"' in page
    assert paths[0].read_bytes() == before


PICTURE = """
import base64, io
from IPython.display import Image, display
from PIL import Image as Pillow
buffer = io.BytesIO()
Pillow.new("RGB", (8, 8)).save(buffer, "PNG")
display(Image(buffer.getvalue(), alt='A "dark" & small square.'))
"""
WIDGET = "import ipywidgets; ipywidgets.IntSlider(description='Slide')"


def test_a_page_keeps_alt_texts_and_needs_no_internet_for_widgets(folder):
    out = folder.parent / "build"
    done = run(out, notebook(folder / "01_first.ipynb", PICTURE, WIDGET))
    assert done.returncode == 0, done.stderr
    page = (out / "01_first.html").read_text()
    assert 'alt="A &quot;dark&quot; &amp; small square."' in page
    assert "No description" not in page
    assert "widget-state+json" not in page
    assert "IntSlider(" in page


def test_the_index_has_pictures_and_the_scores(folder, monkeypatch):
    from notebooks import run as series

    scores = {"all background": {"accuracy": 0.7871, "dice": 0}, "U-Net": {"accuracy": 0.99806, "dice": 0.99538}}
    (folder / "scores.json").write_text(json.dumps(scores))
    monkeypatch.setattr(series, "SCORES", folder / "scores.json")
    monkeypatch.setenv("CARVANA_DATA", "")  # `main` sets it: given back after the test
    paths = [notebook(folder / "01_first.ipynb", PICTURE), notebook(folder / "02_second.ipynb", "print(1)")]
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(folder / "out"), *map(str, paths)])
    assert series.main() == 0
    index = (folder / "out" / "index.html").read_text()
    assert index.count("<img") == 1
    assert '<a href="01_first.html"><img src="01_first.png" alt="">' in index
    assert Image.open(folder / "out" / "01_first.png").size == (8, 8)
    assert re.search(r"^U-Net +0\.9981 +0\.9954", index, flags=re.MULTILINE)


def test_a_failing_notebook_stops_the_series_with_cell_and_reason(folder):
    good, after = (notebook(folder / name, "print(1)") for name in ("01_good.ipynb", "03_after.ipynb"))
    bad = notebook(folder / "02_bad.ipynb", "x = 0", "assert x == 1, 'x should be 1'")
    done = run(folder.parent / "out", good, bad, after)
    assert done.returncode == 1
    assert "02_bad.ipynb FAILED" in done.stdout
    assert "assert x == 1" in done.stdout
    assert "x should be 1" in done.stdout
    assert "\x1b" not in done.stdout
    assert "03_after" not in done.stdout
    assert (folder.parent / "out" / "01_good.html").exists()
    assert not (folder.parent / "out" / "02_bad.html").exists()


def test_what_is_no_notebook_gets_a_sentence(tmp_path):
    (tmp_path / "words.ipynb").write_text("words")
    (tmp_path / "file").touch()
    for arguments, message in (
        (["gone.ipynb"], "gone.ipynb cannot be read as a notebook"),
        ([str(tmp_path / "words.ipynb")], "words.ipynb cannot be read as a notebook"),
        (["--out", str(tmp_path / "file" / "out")], "name another --out"),
    ):
        out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
        done = subprocess.run([sys.executable, RUN, *out, *arguments], capture_output=True, text=True)
        assert done.returncode
        assert message in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_tilde_that_no_shell_replaced_is_the_home_directory(tmp_path):
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    command = [sys.executable, str(RUN), "--out=~/series", "~/gone.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=work)
    assert f"{home / 'gone.ipynb'} cannot be read as a notebook" in done.stdout
    assert (home / "series").is_dir()
    assert list(work.iterdir()) == []


def test_a_kernel_that_dies_is_named(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os\nos._exit(9)")])
    nbformat.write(notebook, tmp_path / "dies.ipynb")
    call = [sys.executable, RUN, "--out", tmp_path / "out", tmp_path / "dies.ipynb"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Its Python process died" in done.stdout
    assert "Traceback" not in done.stderr
