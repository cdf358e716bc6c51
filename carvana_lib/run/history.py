"""The record of a training: one row an epoch, as CSV, as curves and as a line."""

from __future__ import annotations

import csv
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.errors import CarvanaWarning
from ..base.files import expanded, write_atomically

History = list[dict[str, float]]
METRICS = "metrics.csv"


def write_metrics(path: str | Path, history: History) -> None:
    """The whole history as CSV."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, history[0].keys())
            writer.writeheader()
            writer.writerows(history)

    write_atomically(path, write)


def write_curves(folder: str | Path, row: dict[str, float]) -> None:
    """Add an epoch to the TensorBoard curves in `folder`. Warns where that cannot be done."""
    from torch.utils.tensorboard import SummaryWriter

    try:
        # purge_step hides what an earlier run wrote for this epoch before it was stopped.
        with _quiet_threads(), SummaryWriter(str(expanded(folder)), purge_step=int(row["epoch"])) as curves:
            for name, value in row.items():
                curves.add_scalar(name, value, int(row["epoch"]))
    except OSError as error:
        # metrics.csv holds the same numbers: the training goes on.
        warnings.warn(f"cannot write curves to {folder} ({error}): free some space", CarvanaWarning, stacklevel=2)


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """No traceback of an OSError in another thread: where the disk is full, SummaryWriter's thread prints one too."""
    before = threading.excepthook
    threading.excepthook = lambda failure: None if isinstance(failure.exc_value, OSError) else before(failure)
    try:
        yield
    finally:
        threading.excepthook = before


def epoch_line(row: dict[str, float], best: float) -> str:
    """An epoch in one line for the terminal; `best` is the highest validation Dice so far."""
    mark = " (best so far)" if row["dice"] >= best else ""
    return (
        f"Epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, validation Dice {row['dice']:.4f}{mark}, "
        f"accuracy {row['accuracy']:.4f}, {row['images_per_second']:.1f} img/s"
    )
