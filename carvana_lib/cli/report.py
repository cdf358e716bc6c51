"""Scores as a text table, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from ..base.class_counts import per_class
from ..base.files import write_atomically
from ..evaluation import Evaluation
from ..metrics import accuracy, dice, iou


def table(summary: dict[str, object], rows: dict[str, dict[str, float]], kind: str = "car") -> str:
    """The scores as text: the net first, the baselines under it. `kind`: what is never split, "car" or "group"."""
    interval = f"no 95 % interval of Dice: the photos are of a single {kind}, which says nothing about others"
    if summary["dice_ci95"]:
        interval = "95 % interval of Dice over {}s {:.4f} to {:.4f}".format(kind, *summary["dice_ci95"])
    lines = [
        f"{summary['n_images']} photos of {summary['n_cars']} {kind}s, scored at the masks' own size",
        f"{'':38}{'Dice':>8}{'accuracy':>10}",
        f"{'U-Net':38}{summary['dice']:8.4f}{summary['accuracy']:10.4f}",
        *(f"{name:38}{row['dice']:8.4f}{row['accuracy']:10.4f}" for name, row in rows.items()),
        interval,
    ]
    if "per_class" in summary:
        lines += _by_class(summary)
    else:
        more = f"global Dice {summary['dice_global']:.4f}, batch Dice {summary['dice_batch']:.4f}"
        lines.append(f"{more}, IoU {summary['iou']:.4f}")
    if "boundary_error_px" in summary:
        lines.append(f"mean boundary error {summary['boundary_error_px']:.2f} pixels")
    worst = summary["worst"]
    lines.append(
        f"worst photo {worst['photo']['name']} {worst['photo']['dice']:.4f}, "
        f"worst {kind} {worst['car']['name']} {worst['car']['dice']:.4f}"
    )
    return "\n".join(lines)


def _by_class(summary: dict[str, object]) -> list[str]:
    """A line for each class: its scores, and what its pixels are taken for most often where they are not found."""
    lines = [f"Dice is the mean over the classes without {summary['classes'][0]}. Each class:"]
    lines.append(f"{'':38}{'Dice':>8}{'IoU':>10}{'photos':>8}")
    for number, (name, row) in enumerate(summary["per_class"].items()):
        taken, pixels = list(summary["confusion"][number]), sum(summary["confusion"][number])
        taken[number] = 0
        worst = max(range(len(taken)), key=taken.__getitem__)
        other = f"  {taken[worst] / pixels:.1%} taken for {summary['classes'][worst]}" if taken[worst] else ""
        scores = f"{'':>18}" if row["dice"] is None else f"{row['dice']:8.4f}{row['iou']:10.4f}"
        lines.append(f"{name:38}{scores}{row['photos']:8}{other}")
    return lines


def write_rows(evaluation: Evaluation, path: Path) -> None:
    """One CSV row a photo: name, car, view, dice, accuracy, iou, boundary error (blank if not measured), counts.

    Of several classes, each one's Dice (blank where the photo has none of it) takes the place of the last two.
    """
    if evaluation.classes:
        columns = [f"dice_{name}" for name in evaluation.classes]
        each = per_class(evaluation.counts, dice).tolist()
        more = [["" if math.isnan(score) else score for score in row] for row in each]
    else:
        columns = ["boundary_error_px", "tp", "fp", "fn", "tn"]
        errors = evaluation.boundary_errors.tolist() or [""] * len(evaluation.names)
        more = [[error, *counts] for error, counts in zip(errors, evaluation.counts.tolist(), strict=True)]
    scores = (evaluation.scores(score).tolist() for score in (dice, accuracy, iou))

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "car", "view", "dice", "accuracy", "iou", *columns])
            for name, car, *values, rest in zip(evaluation.names, evaluation.cars, *scores, more, strict=True):
                # A Carvana photo is <car>_<view>; others have no view.
                view = name[13:] if name.startswith(f"{car}_") else ""
                writer.writerow([name, car, view, *values, *rest])

    write_atomically(path, write)


def write_json(path: Path, values: dict[str, object]) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))
