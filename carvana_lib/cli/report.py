"""Scores as a text table, as JSON and as CSV."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from ..base.files import write_atomically

_COLUMNS = ["name", "car", "view", "dice", "accuracy", "iou", "boundary_error_px", "tp", "fp", "fn", "tn"]


def table(summary: dict[str, object], rows: dict[str, dict[str, float]]) -> str:
    """The scores as text: the net first, the baselines under it."""
    low, high = summary["dice_ci95"]
    lines = [
        f"{summary['n_images']} photos of {summary['n_cars']} cars, scored at the masks' own size",
        f"{'':38}{'Dice':>8}{'accuracy':>10}",
        f"{'U-Net':38}{summary['dice']:8.4f}{summary['accuracy']:10.4f}",
        *(f"{name:38}{row['dice']:8.4f}{row['accuracy']:10.4f}" for name, row in rows.items()),
        f"95 % interval of Dice over cars {low:.4f} to {high:.4f}",
        f"global Dice {summary['dice_global']:.4f}, batch Dice {summary['dice_batch']:.4f}, IoU {summary['iou']:.4f}",
    ]
    if "boundary_error_px" in summary:
        lines.append(f"mean boundary error {summary['boundary_error_px']:.2f} pixels")
    worst = summary["worst"]
    lines.append(
        f"worst photo {worst['photo']['name']} {worst['photo']['dice']:.4f}, "
        f"worst car {worst['car']['name']} {worst['car']['dice']:.4f}"
    )
    return "\n".join(lines)


def write_json(path: Path, values: dict[str, object]) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))


def printable(line: str) -> str:
    """`line` with an escape for each sign that would end it or steer the terminal, as names of files may hold."""
    keep = (sign.isprintable() or unicodedata.category(sign) == "Zs" for sign in line)  # Zs: spaces of all widths
    return "".join(sign if kept else ascii(sign)[1:-1] for sign, kept in zip(line, keep, strict=True))
