"""Scores as a text table, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..base.files import write_atomically
from ..evaluation import Evaluation
from ..metrics import accuracy, iou

_COLUMNS = ["name", "car", "view", "dice", "accuracy", "iou", "boundary_error_px", "tp", "fp", "fn", "tn"]


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
        f"global Dice {summary['dice_global']:.4f}, batch Dice {summary['dice_batch']:.4f}, IoU {summary['iou']:.4f}",
    ]
    if "boundary_error_px" in summary:
        lines.append(f"mean boundary error {summary['boundary_error_px']:.2f} pixels")
    worst = summary["worst"]
    lines.append(
        f"worst photo {worst['photo']['name']} {worst['photo']['dice']:.4f}, "
        f"worst {kind} {worst['car']['name']} {worst['car']['dice']:.4f}"
    )
    return "\n".join(lines)


def write_rows(evaluation: Evaluation, path: Path) -> None:
    """One CSV row a photo: name, car, view, dice, accuracy, iou, boundary error (blank if not measured), counts."""
    rows = zip(
        evaluation.names,
        evaluation.cars,
        evaluation.dice.tolist(),
        accuracy(evaluation.counts, "none").tolist(),
        iou(evaluation.counts, "none").tolist(),
        evaluation.boundary_errors.tolist() or [""] * len(evaluation.names),
        evaluation.counts.tolist(),
        strict=True,
    )

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for name, car, *scores, counts in rows:
                # A Carvana photo is <car>_<view>; others have no view.
                view = name[13:] if name.startswith(f"{car}_") else ""
                writer.writerow([name, car, view, *scores, *counts])

    write_atomically(path, write)


def write_json(path: Path, values: dict[str, object]) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))
