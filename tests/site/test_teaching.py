"""The teacher's pages agree with the notebooks, with what was measured, and with the clock."""

import json
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest

from carvana_lib import dice
from carvana_lib.extras.thresholds import Histograms, histogram
from tools.results import __main__ as results
from tools.results.page import means, read_results

ROOT = Path(__file__).parents[2]
TEACH = ROOT / "docs" / "teach"
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb"))}
PLANS = (TEACH / "plans.md").read_text(encoding="utf-8")
PAGES = ["guide.md", "plans.md", "notebooks.md", "nbgrader.md", "rubric.md", "exit_form.md", "care.md"]
MADE_UP = {"0.987", "0.001"}  # a log that somebody shows; "within 0.001"


def text_of(name: str) -> str:
    return (TEACH / name).read_text(encoding="utf-8")


def cells(number: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(NOTEBOOKS[number], as_version=4).cells


def said(number: str) -> str:
    """What the cells of a committed notebook print and tabulate."""
    found = [output for cell in cells(number) for output in cell.get("outputs", [])]
    return "\n".join(o.get("text", "") or o.get("data", {}).get("text/markdown", "") for o in found)


def minutes(clock: str) -> int:
    hours, rest = clock.split(":")
    return 60 * int(hours) + int(rest)


def rows(section: str) -> list[tuple[int, int]]:
    """Start and length of each row of the plans below a heading, in minutes."""
    part = PLANS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [(minutes(start), int(long)) for start, long in re.findall(r"^\| (\d+:\d\d) \| (\d+) \|", part, flags=re.M)]


@pytest.mark.parametrize(
    ("section", "starts", "total"),
    [("90 minutes", [0], 90), ("120 minutes", [0], 120), ("One day", [540], 480), ("Two half-days", [0, 0], 480)],
)
def test_the_minutes_of_a_plan_add_up(section, starts, total):
    found = rows(section)
    assert sum(long for _, long in found) == total
    begins = [start for start, _ in found]
    assert [begins[0], *(b for a, b in pairwise(begins) if b < a)] == starts
    for (start, long), (after, _) in pairwise(found):
        assert after in (start + long, 0)


def test_each_of_six_lessons_has_90_minutes():
    part = PLANS.split("\n## Six lessons\n")[1]
    lessons = re.findall(r"^\| (\d) \| (\d+) \| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", part, flags=re.M)
    assert [lesson[0] for lesson in lessons] == list("123456")
    for number, quiz, notebooks, *others in lessons:
        in_class = [int(one.split()[1]) for one in notebooks.split(", ")]
        assert int(quiz) + sum(in_class) + sum(map(int, others)) == 90, number


def test_class_time_is_three_quarters_of_reading_time_or_more():
    """In the lessons that do a notebook as a whole, even if a section is left out."""
    read = {n: int(re.search(r"\*\*Time\*\* (\d+) minutes", cells(n)[0].source)[1]) for n in NOTEBOOKS}
    part = PLANS.split("\n## Six lessons\n")[1]
    planned = {n: int(long) for n, long in re.findall(r"\b(0[1-9]|1\d) (\d\d)\b", part)}
    assert set(planned) >= {f"{n:02}" for n in range(1, 10)}
    assert [n for n, long in planned.items() if long < 0.75 * read[n]] == []


def test_every_notebook_has_its_page():
    headings = re.findall(r"^## (.+)$", text_of("notebooks.md"), flags=re.M)
    assert headings == [cells(number)[0].source.splitlines()[0].lstrip("# ") for number in NOTEBOOKS]
    for part in text_of("notebooks.md").split("\n## ")[1:]:
        assert all(word in part for word in ("**Show**", "**Stop**", "**They get stuck**", "| they answer |"))
        assert part.count('", ') + part.count('" |') >= 3


@pytest.mark.parametrize("name", PAGES)
def test_every_score_on_a_teachers_page_was_measured(name):
    text = re.sub(r"^```.*?^```", "", text_of(name), flags=re.M | re.S)
    known = results.numbers(read_results()) + [number for n in NOTEBOOKS for number in re.findall(r"\d+\.\d+", said(n))]
    known += re.findall(r"\d+\.\d+", "\n".join(cell.source for n in NOTEBOOKS for cell in cells(n)))
    faults = results.strangers(text, name, [*known, *MADE_UP])
    assert faults == []


def test_a_score_that_no_notebook_shows_is_noticed():
    assert results.strangers("Dice 0.12345", "a page", ["0.9"]) != []


def test_what_the_page_says_of_the_skips_is_what_notebook_04_shows():
    errors = {
        name: float(times) for name, times in re.findall(r"\| (.+?) \| ~[\d.]+ \| ~([\d.]+) times \|", said("04"))
    }
    single = {name: times for name, times in errors.items() if name.startswith("level")}
    assert len(single) == 4
    assert max(single, key=single.get) == "level 3 off"
    assert min(single, key=single.get) == "level 0 off"
    assert errors["all off"] - 1 > sum(times - 1 for times in single.values())
    page = text_of("notebooks.md")
    assert f"level 3: {errors['level 3 off']} times the error" in page
    assert f"All together {errors['all off']} times" in page
    assert "Level 0 off costs little. May we delete it?" not in text_of("guide.md")


def test_what_the_page_says_of_results_is_what_they_say():
    """Small nets gain next to nothing by photo or soft masks; a net trained without skips loses less than here."""
    found = read_results()
    assert all(abs(np.subtract(*means(found[name], "dice").values())) < 0.001 for name in ("split", "masks"))
    error = sorted(1 - score for score in means(found["skips"], "dice").values())
    assert 1 < error[1] / error[0] < 5


def test_the_contests_cell_ranks_every_bid(monkeypatch):
    code = re.search(r"<!-- contest -->\n\n```python\n(.*?)```", text_of("notebooks.md"), flags=re.S)[1]
    assert len(code.splitlines()) <= 15
    generator = np.random.default_rng(0)
    truth = generator.random((3, 40, 60)) < 0.3
    p = np.where(truth, 0.8, 0.2).astype(np.float32) + generator.uniform(-0.15, 0.15, truth.shape).astype(np.float32)
    counted = [np.stack(kind) for kind in zip(*map(histogram, p, truth), strict=True)]
    shown = []
    space = {"dice": dice, "test": Histograms(*counted), "show_table": lambda *table: shown.append(table)}
    exec(code, space)
    [(names, table)] = shown
    assert names == ["team", "threshold", "Dice on fold 0", "expected Dice off by"]
    assert {row[0] for row in table} == set(space["bids"])
    off = {team: abs(dice(space["test"].counts(t)).item() - wanted) for team, (t, wanted) in space["bids"].items()}
    assert table[0][0] == min(off, key=off.get)


def test_the_contests_cell_uses_names_of_notebook_08():
    code = "\n".join(cell.source for cell in cells("08") if cell.cell_type == "code")
    imported = code.split("from carvana_lib import (")[1].split(")")[0]
    assert {"dice", "show_table"} <= set(re.findall(r"\w+", imported))
    assert re.search(r"^test = predict_dataset", code, flags=re.M)


def test_the_letter_asks_for_what_was_measured():
    found = json.loads((ROOT / "benchmarks" / "results" / "classroom.json").read_text())
    lesson = sum(row["peak_gb"] for name, row in found["notebooks"].items() if re.match("0[128]_", name))
    lesson += max(row["peak_gb"] for name, row in found["notebooks"].items() if "/" in name) + found["server_gb"]
    letter = text_of("jupyterhub.md")
    assert f"{lesson:.1f} GB by our measurements" in letter
    assert int(re.search(r"\*\*(\d+) GB of memory\*\*", letter)[1]) > lesson
    limit = re.search(r"websocket_max_message_size'?\": ([\d_]+)", letter)[1]
    assert limit.replace("_", "") in (ROOT / "Makefile").read_text()
    data = sum(path.stat().st_size for path in (ROOT / "data" / "sample").rglob("*") if path.is_file())
    weights = sum(path.stat().st_size for path in (ROOT / "carvana_lib").rglob("*.safetensors"))
    asked = int(re.search(r"upload of (\d+) MB", letter)[1])
    assert (data + weights) / 1e6 - 1 < asked < (data + weights) / 1e6 + 5


def test_the_minutes_of_grading_follow_from_what_was_measured():
    found = json.loads((ROOT / "benchmarks" / "results" / "classroom.json").read_text())["notebooks"]
    seconds = [row["seconds"] for name, row in found.items() if "/" in name]
    text = " ".join(text_of("nbgrader.md").split())
    low, high = map(int, re.search(r"25 learners takes (\d+) to (\d+) minutes", text).groups())
    assert low * 60 <= 25 * np.mean(seconds) <= high * 60
    whole = int(re.search(r"all of them about (\d+) minutes", text)[1])
    assert whole == round(25 * sum(seconds) / 60, 0)
