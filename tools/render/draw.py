"""Draw one car with Blender, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

from . import finish
from .params import VIEWS, CarSpec


def draw_car(spec: CarSpec, out: Path, samples: int, threads: int) -> None:
    """Draw the 16 views of one car. They get their places in `out` when all of them are finished.

    Raises:
        OSError: Blender stopped before the car was finished.
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=".drawing-") as scratch:
        # Blender takes Ctrl-C for itself and then goes on with a picture missing. So it works in its own process.
        worker = multiprocessing.get_context("spawn").Process(
            target=_draw_views, args=(spec, Path(scratch), samples, threads)
        )
        worker.start()
        try:
            worker.join()
        finally:
            worker.kill()
            worker.join()
        if worker.exitcode:
            raise OSError(f"Blender stopped with status {worker.exitcode} while drawing {spec.car}")
        finish.move_car(Path(scratch), out, spec.car)


def _draw_views(spec: CarSpec, folder: Path, samples: int, threads: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Blender prints a line for every picture
    from .scene import draw  # loads Blender

    views = list(range(1, VIEWS + 1))
    photos, coverages = draw(spec, folder, samples, threads, views)
    for view, photo, coverage in zip(views, photos, coverages, strict=True):
        finish.save_view(folder, spec, view, photo, coverage)
