"""Write docs/results.md and its plots from the JSON files in docs/results, and check README against them.

    python tools/results.py            # `make results`: page and plots; fails if a number in README is not one of them
    python tools/results.py --readme   # and put the tables into README

No number on that page is typed by hand, except those of other projects in docs/results/peers.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path

from results_findings import experiments
from results_plots import draw_all
from safetensors import safe_open

from carvana_lib.run.weights import PRETRAINED

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
README = ROOT / "README.md"
CHECKED = (README, ROOT / "data" / "README.md", ROOT / "docs" / "model_card.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="put the tables into README")
    options = parser.parse_args()
    found = read_results(RESULTS)
    (ROOT / "docs" / "results.md").write_text(page(found))
    draw_all(found, RESULTS / "plots")
    text = README.read_text()
    wanted = fill(text, blocks(found))
    if options.readme:
        README.write_text(wanted)
    elif text != wanted:
        sys.exit("README's tables differ from docs/results: look why, then run `python tools/results.py --readme`")
    faults = [fault for file in CHECKED for fault in strangers(file.read_text(), file.name, numbers(found))]
    if faults:
        sys.exit("\n".join(faults))
    print(f"docs/results.md and {len(list((RESULTS / 'plots').glob('*.png')))} plots written; README agrees")


def read_results(folder: Path) -> dict[str, dict]:
    """Every JSON file of docs/results and benchmarks/results by its name without .json."""
    files = [*folder.glob("*.json"), *(folder / "experiments").glob("*.json")]
    files.append(ROOT / "benchmarks" / "results" / "speed.json")
    return {file.stem: json.loads(file.read_text()) for file in sorted(files)}


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(values: list[float]) -> str:
    return f"{values[0]:.4f} to {values[1]:.4f}"


def blocks(found: dict[str, dict]) -> dict[str, str]:
    """The parts of README that are made here, by the name in their markers."""
    return {"scores": scores_table(found), "speed": speed_table(found["speed"])}


def scores_table(found: dict[str, dict]) -> str:
    """Our scores under the honest protocol, the baselines they must beat under them."""
    rows = []
    for name, label in (("small", "`small`"), ("small_tta", "`small`, averaged with the mirrored photo")):
        one = found[name]
        rows.append(
            [
                label,
                f"**{one['dice']:.4f}**" if name == "small" else f"{one['dice']:.4f}",
                interval(one["dice_ci95"]),
                f"{one['accuracy']:.4f}",
                f"{one['boundary_error_px']:.2f} px",
                f"{one['worst']['photo']['dice']:.4f}",
            ]
        )
    if "seeds" in found:
        one = found["seeds"]
        worst = min(run["worst"]["photo"]["dice"] for run in one["runs"])
        rows.append(
            [
                f"`{one['preset']}`, {one['epochs']} epochs, mean of {len(one['runs'])} seeds",
                f"{one['dice']:.4f}",
                interval(one["dice_ci95"]),
                f"{one['accuracy']:.4f}",
                f"{one['boundary_error_px']:.2f} px",
                f"{worst:.4f}",
            ]
        )
    for name, row in reversed(found["small"]["baselines"].items()):
        rows.append([name, f"{row['dice']:.4f}", "", f"{row['accuracy']:.4f}", "", ""])
    return table(["", "Dice", "95 % interval", "accuracy", "boundary error", "worst photo"], rows)


def speed_table(speed: dict) -> str:
    rows = []
    for name, row in speed.items():
        if isinstance(row, dict) and "ratio" in row:
            low, high = row["ratio_range"]
            rates = [f"{row[f'{side}_photos_per_second']:.1f}" for side in ("usual", "ours")]
            rows.append([name, *rates, f"{row['ratio']:.1f} ({low:.1f} to {high:.1f})"])
    return table(["", "usual, photos/s", "ours, photos/s", "ratio, median (range)"], rows)


def fill(text: str, parts: dict[str, str]) -> str:
    """`text` with what stands between <!-- begin NAME --> and <!-- end NAME --> replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(\n<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"README has no place for `{name}`: put <!-- begin {name} --> and <!-- end {name} --> there")
        text = pattern.sub(lambda match, part=part: match[1] + part + match[2], text)
    return text


def numbers(value: object) -> list[str]:
    """Every number under `value`, at full length; quoted ones too."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    if isinstance(value, str):
        return re.findall(r"\d+\.\d+", value)
    return [repr(float(value))] if isinstance(value, int | float) else []


def strangers(text: str, name: str, known: list[str]) -> list[str]:
    """A line for each score in `text` (three decimals or more) that no result rounds to."""
    faults = []
    for score in sorted(set(re.findall(r"(?<![\w.])[01]\.\d{3,}(?![\w.]*\d)", text))):
        places = len(score.split(".")[1])
        if not any(f"{float(number):.{places}f}" == score for number in known):
            faults.append(f"{name}: {score} is not among the results in docs/results")
    return faults


def page(found: dict[str, dict]) -> str:
    """docs/results.md."""
    return PAGE.format(
        scores=scores_table(found),
        ceilings=ceilings_table(found["ceilings"]) if "ceilings" in found else "Not measured yet.",
        rows=rows_table(found),
        peers=peers_table(found["peers"]),
        experiments=experiments(found),
    )


def ceilings_table(ceilings: dict) -> str:
    rows = [
        [size, *(f"{kinds[kind]['dice']:.4f}" for kind in ("hard", "soft")), f"{kinds['soft']['accuracy']:.4f}"]
        for size, kinds in ceilings["sizes"].items()
    ]
    return table(["masks resized to", "Dice, cut at one half", "Dice, averaged", "accuracy, averaged"], rows)


def rows_table(found: dict[str, dict]) -> str:
    """Every number of ours with its protocol, the minutes and the command."""
    rows = []

    def add(what: str, split: str, size: str, metric: str, dice: float, accuracy: float, made: str) -> None:
        rows.append([what, split, size, metric, f"{dice:.4f}", f"{accuracy:.4f}", made])

    small, native = found["small"], ("whole cars", "1918x1280", "per image")
    add("`small`", *native, small["dice"], small["accuracy"], made_small())
    tta = found["small_tta"]
    add("`small`, mirrored too", *native, tta["dice"], tta["accuracy"], "the same weights")
    if "seeds" in found:
        one = found["seeds"]
        minutes = sum(run["minutes"] for run in one["runs"]) / len(one["runs"])
        for run in one["runs"]:
            what = f"`{one['preset']}`, {one['epochs']} epochs, seed {run['seed']}"
            add(what, *native, run["dice"], run["accuracy"], f"{run['minutes']:.0f} min")
        add(
            f"`{one['preset']}`, mean of {len(one['runs'])} seeds",
            *native,
            one["dice"],
            one["accuracy"],
            f"{minutes:.0f} min each; `benchmarks/protocols.py --only seeds`",
        )
    if "published" in found:
        one, theirs = found["published"], found["published"]["at_net_size"]
        what = f"`published`, base {one['base_channels']}, {one['epochs']} epochs"
        made = f"{one['minutes']:.0f} min; `benchmarks/protocols.py --only published`"
        pooled = ("whole cars", "240x240", "pooled over batches of 32")
        add(what, *pooled, theirs["dice_batch"], theirs["accuracy"], made)
        add(what, *native, one["native"]["dice"], one["native"]["accuracy"], "the same weights")
    sample = found["sample_on_real"]
    add("trained on the rendered sample", *native, sample["dice"], sample["accuracy"], "see data/README.md")
    return table(["net", "split", "scored at", "Dice", "mean Dice", "accuracy", "two CPU cores; command"], rows)


def made_small() -> str:
    """Minutes and command of the shipped weights, from the rows of their training and their metadata."""
    with open(RESULTS / "small_training.csv", newline="") as file:
        minutes = sum(float(row["seconds"]) for row in csv.DictReader(file)) / 60
    with safe_open(PRETRAINED / "small.safetensors", framework="pt") as file:
        return f"{minutes:.0f} min; `{file.metadata()['command']}`"


def peers_table(peers: list[dict[str, str]]) -> str:
    names = ["name", "split", "size", "metric", "data", "dice", "accuracy", "comparable"]
    head = ["project", "split", "scored at", "Dice", "trained on", "Dice", "accuracy", "comparable with ours"]
    return table(head, [[peer[name] for name in names] for peer in peers])


PAGE = """<!-- Written by `make results` (tools/results.py) from the JSON files in docs/results. Do not edit. -->
# Results

All but the table of other projects was measured on real Carvana photos; `make results` writes this page from the JSON
files that the commands named here, `benchmarks/experiments.py` for ceilings and experiments, left in
[docs/results](https://github.com/carvana-unet/carvana-unet/tree/main/docs/results).
Trained on the 180 cars of folds 2 to 7 (2880 photos, stored at 959x640), scored on the 31 cars of fold 1 (496 photos,
1918x1280). No car is in both. Fold 1 chose the epoch, and was looked at when two stages of `small` were averaged.

## Baselines and ceilings first

A score means little without what costs nothing and what cannot be passed. Predicting background everywhere is right for
four fifths of all pixels; the mean mask of the same view knows where a car stands without looking. At the other end, a
net that sees a small picture cannot draw a finer mask: here are the true masks, made smaller and larger again.

{ceilings}

"Averaged" keeps the share of each pixel that is car, "cut at one half" makes it all or nothing first.

## Our scores

Dice per image at the masks' own size, threshold 0.5, intervals from drawing whole cars with replacement.

{scores}

## Every number with its protocol

{rows}

## Other projects

{peers}

Dice is not one number. **Comparable** are numbers with the same split, the same size and the same average. A random
split of photos puts other views of every test car into training ([measured](#split-by-car-or-by-photo)). A mask
scored at 240x240 has coarser outlines to get right than the same mask at 1918x1280. Dice pooled over a batch lets
large cars outweigh small ones. Kaggle's leaderboard scores whole unknown cars at native size per image, as we do, but
other cars than ours, with nets trained on all of Kaggle's photos: the nearest to a fair comparison, and not quite
one. Accuracy follows from Dice: an error costs twice as many Dice points as its share of the car, so with a fifth of
the pixels being car, accuracy and Dice are one number told twice.

## Experiments

Small nets and short runs, to answer one question each: {experiments}
"""


if __name__ == "__main__":
    main()
