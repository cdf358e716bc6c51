"""What notebooks 06 to 10 teach is in their committed outputs; tables written as text agree with what was recorded."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


def cells(number: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(next((ROOT / "notebooks").glob(f"{number}_*.ipynb")), as_version=4).cells


def said(number: str) -> str:
    """What a committed notebook prints, and its tables."""
    found = [output for cell in cells(number) for output in cell.get("outputs", [])]
    return "\n".join(o.get("text", "") or o.get("data", {}).get("text/markdown", "") for o in found)


def table(number: str, heading: str) -> list[list[str]]:
    """The cells of the first table below words of a Markdown cell."""
    text = "\n".join(cell.source for cell in cells(number) if cell.cell_type == "markdown").split(heading)[1]
    lines = re.search(r"((?:^\|.*\n?)+)", text, flags=re.M)[1].splitlines()
    return [[part.strip(" *~") for part in line.strip("|").split("|")] for line in lines[2:]]


def test_the_recipe_of_the_shipped_weights_is_the_recorded_one():
    recorded = json.loads((RESULTS / "small_training.json").read_text())
    config, row = recorded["config"], dict(table("06", "## How the shipped weights were trained"))
    percent = {name: f"{100 * config[name]:.0f} %" for name in ("scale", "shift", "colour", "warped")}
    size, dice = "{}x{}".format(*config["size"]), f"{recorded['validation']['dice']:.4f}"
    steps = [str(config[name]) for name in ("learning_rate", "epochs", "batch_size")]
    wanted = {
        "photos": ["4256", "266", "288", "18", "2 to 9"],
        "net": ["random weights", str(config["base_channels"]), size, f"`patch={config['patch']}`"],
        "loss, optimizer": [f"`{config['loss']}`", "AdamW", "one-cycle", *steps],
        "each photo": [f"{config['rotate']:.0f} degrees", percent["scale"], percent["shift"], percent["colour"]],
        "average": [str(config["ema_decay"])],
        "cost and score": [f"{recorded['seconds']:.0f} seconds", "H200", dice, str(recorded["validation"]["n_cars"])],
        "command": ["carvana train --preset small --data data/carvana --data data/sample"],
    }
    assert percent["warped"] == "50 %"  # "half of them"
    assert set(row) == set(wanted)
    assert {name: [part for part in parts if part not in row[name]] for name, parts in wanted.items()} == {
        name: [] for name in wanted
    }
    assert (config["start"], config["optimizer"], config["schedule"]) == ("", "adamw", "one-cycle")
    assert "4256 real photos of folds 2 to 9 (266 cars" in (RESULTS.parent / "results.md").read_text(encoding="utf-8")


def test_a_resumed_training_was_compared_with_one_that_never_stopped():
    assert "Checkpoint passed: a training that was stopped ends with the weights of one that was not." in said("06")
    code = next(cell.source for cell in cells("06") if "never stopped" in cell.source or "straight = " in cell.source)
    assert 'for name in ("model", "average"):' in code
    assert "torch.equal" in code


def test_the_outline_of_the_shipped_net_is_nearly_right():
    errors = [float(one) for one in re.findall(r"mean ~([\d.]+) px", said("07"))]
    assert errors
    assert max(errors) < 1.5


def test_the_verdict_on_thresholds_is_the_recorded_one():
    recorded = json.loads((RESULTS / "experiments" / "thresholds.json").read_text())
    scores = np.array(recorded["curve"]["dice"])
    row = re.search(r"\| real photos, fold 1 \| ~([\d.]+) \| ~([\d.]+) \| ~([\d.]+) \| ~([\d.]+) \|", said("08"))
    wanted = (recorded["best_dice"], scores.max(), scores[50], scores.max() - scores[50])
    assert row.groups() == tuple(f"{value:.{2 if at == 0 else 6}f}" for at, value in enumerate(wanted))
    best = [float(one) for one in re.findall(r"\| (?:these|real) photos, fold \d \| ~([\d.]+) \|", said("08"))]
    assert len(best) == 3
    assert max(abs(one - 0.5) for one in best) < 0.1  # so the sentence "cut this net at 0.5" holds


def test_the_road_is_cured_by_backdrops_in_training():
    found = re.findall(
        r"^\| (\w+) \| ~([\d.]+) \| ~([\d.]+) \| ~([\d.]+) \|$", said("09").split("with backdrops")[1], flags=re.M
    )
    dice = {name: [float(score) for score in scores] for name, *scores in found}
    assert set(dice) == {"studio", "sky", "road", "street", "noise"}
    for name in ("road", "street"):
        before, without, cured = dice[name]
        assert cured >= before + 0.15, name
        assert cured >= without + 0.15, name  # so it is the backdrops, and not the small photos
    results = " ".join((RESULTS.parent / "results.md").read_text(encoding="utf-8").split())
    assert "In the studio the same number of steps costs 0.0020" in results
    assert any("cost the studio 0.0020" in cell.source for cell in cells("09"))


@pytest.mark.parametrize(
    ("net", "name"), [("64 channels, 240x160", "base 64, 240x160"), ("`small`, 959x640", "small, 959x640")]
)
def test_the_gpus_photos_a_second_are_the_recorded_ones(net, name):
    recorded = json.loads((ROOT / "benchmarks" / "results" / "gpu.json").read_text())
    speed = recorded["speed"][name]
    ours = [speed[way]["photos_per_second"] for way in ("eager", "graphs", "compiled graphs")]
    wanted = [*(f"{value:.0f}" for value in (speed["usual_photos_per_second"], *ours))]
    wanted.append(f"after {speed['compiled graphs']['seconds_to_first_step']:.0f} s")
    assert {row[0]: row[1:] for row in table("10", "## torch.compile")}[net] == wanted
    assert "H100" in recorded["machine"]["gpu"]


def test_published_numbers_stand_beside_ours_as_recorded():
    peers = {
        re.sub(r"\[([^]]+)\].*", r"\1", one["name"]): one for one in json.loads((RESULTS / "peers.json").read_text())
    }
    rows = {row[0]: row[1:] for row in table("10", "## What others reached")}
    ours = rows.pop("`small`")
    assert ours[4] == f"{json.loads((RESULTS / 'small.json').read_text())['dice']:.4f}"
    own = {"killthekitten, 4th place": "killthekitten/kaggle-carvana-2017"}
    for name, (split, size, average, start, dice, verdict) in rows.items():
        peer = peers[own.get(name, name)]
        assert peer["split"].startswith(split), name
        assert (size, average) == (peer["size"], peer["metric"]), name
        assert peer["start"].startswith(start), name
        assert peer["dice"].split(" ")[0].strip(",;") == dice, name
        ours, theirs = (re.match(r"\w+", text)[0] for text in (verdict, peer["comparable"]))
        assert ours == {"only": "no"}.get(theirs, theirs), name
    published = json.loads((RESULTS / "published_photo.json").read_text())["dice_batch"]
    assert f"{published:.5f}" in rows["the project this series started from"][5]
