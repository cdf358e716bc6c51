"""Draw one car with Blender, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

from . import finish
from .params import VIEWS, CarSpec


def draw_car(spec: CarSpec, out: Path, samples: int, threads: int, photos: bool = True) -> None:
    """Draw the 16 views of one car. They get their places in `out` when all of them are finished.

    Without `photos` the photos and masks in `out` stay as they are, and only the part labels are drawn.

    Raises:
        OSError: Blender stopped before the car was finished.
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=".drawing-") as scratch:
        # Blender takes Ctrl-C for itself and then goes on with a picture missing. So it works in its own process.
        kept = None if photos else out
        worker = multiprocessing.get_context("spawn").Process(
            target=_draw_views, args=(spec, Path(scratch), samples, threads, kept)
        )
        worker.start()
        try:
            worker.join()
        finally:
            worker.kill()
            worker.join()
        if worker.exitcode:
            raise OSError(f"Blender stopped with status {worker.exitcode} while drawing {spec.car}")
        finish.move_car(Path(scratch), out, spec.car, photos)


def _draw_views(spec: CarSpec, folder: Path, samples: int, threads: int, kept: Path | None) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Blender prints a line for every picture
    from .scene import draw  # loads Blender

    views = list(range(1, VIEWS + 1))
    photos, coverages, shares = draw(spec, folder, samples, threads, views, photos=kept is None)
    for view, photo, coverage in zip(views, photos, coverages, strict=kept is None):
        finish.save_view(folder, spec, view, photo, coverage)
    for view, share in zip(views, shares, strict=True):
        finish.save_parts(folder, spec.car, view, share, kept or folder)
