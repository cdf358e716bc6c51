"""Draw the bundled sample: cars on a turntable with exact masks, in the layout of the Carvana data.

python tools/render_sample.py --out data/sample --cars 24 --seed 0   # everything; finished cars are kept
python tools/render_sample.py --out data/sample --car 3              # one car's 16 views, by place or by id
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import render_finish
from render_params import VIEWS, CarSpec, line_up


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Draw the bundled sample with Blender's Python module.")
    made.add_argument("--out", type=Path, default=Path("data/sample"), help="folder to write to (%(default)s)")
    made.add_argument("--cars", type=int, default=24, help="how many cars the sample has (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="the same seed gives the same cars (%(default)s)")
    made.add_argument("--car", help="draw only this car: its place (from 0) or its id")
    made.add_argument("--overwrite", action="store_true", help="draw cars again that are already complete")
    made.add_argument("--samples", type=int, default=8, help="light paths for each pixel (%(default)s)")
    made.add_argument("--threads", type=int, default=2, help="processor cores to use (%(default)s)")
    made.add_argument("--sheet", type=Path, help="also write a contact sheet of the complete cars to this JPEG file")
    return made


def chosen(specs: Sequence[CarSpec], car: str | None) -> list[CarSpec]:
    """The cars to draw: all, or the one named by its place or id."""
    if car is None:
        return list(specs)
    found = [spec for spec in specs if car in (str(spec.index), spec.car)]
    if not found:
        raise SystemExit(f"error: no car {car!r}: give a place from 0 to {len(specs) - 1} or one of the sample's ids")
    return found


def _draw_views(spec: CarSpec, folder: Path, samples: int, threads: int) -> None:
    """Draw one car's views into `folder`; Blender's own lines are kept off the terminal."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from render_scene import draw  # loads Blender

    views = list(range(1, VIEWS + 1))
    photos, coverages = draw(spec, folder, samples, threads, views)
    for view, photo, coverage in zip(views, photos, coverages, strict=True):
        render_finish.save_view(folder, spec, view, photo, coverage)


def draw_car(spec: CarSpec, out: Path, samples: int, threads: int) -> None:
    """Draw the 16 views of one car and put them in place once all of them are there."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".drawing-") as scratch:
        # Blender takes Ctrl-C for itself and then goes on with a picture missing, so it works in a process of its own.
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
        render_finish.move_car(Path(scratch), out, spec.car)


def draw_all(specs: Sequence[CarSpec], args: argparse.Namespace) -> None:
    """Draw the cars that are missing, with a line of progress after each."""
    todo = [spec for spec in specs if args.overwrite or not render_finish.complete(args.out, spec.car)]
    if len(todo) < len(specs):
        print(f"{len(specs) - len(todo)} of {len(specs)} cars are already complete")
    if todo and importlib.util.find_spec("bpy") is None:
        raise SystemExit(
            "error: Blender is missing; with Python 3.11 run: pip install -r tools/requirements-render.txt"
        )
    start = time.monotonic()
    for done, spec in enumerate(todo, 1):
        draw_car(spec, args.out, args.samples, args.threads)
        spent = time.monotonic() - start
        left = spent / done * (len(todo) - done)
        print(
            f"{done}/{len(todo)} {spec.car} {spec.colour} {spec.style}, fold {spec.fold}: "
            f"{spent / done / VIEWS:.1f} s a view, {left / 60:.0f} min left",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    if min(args.cars, args.samples, args.threads) < 1:
        raise SystemExit("error: --cars, --samples and --threads must be at least 1")
    specs = line_up(args.seed, args.cars)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        draw_all(chosen(specs, args.car), args)
        render_finish.write_table(args.out, specs)
        if args.sheet:
            render_finish.write_sheet(args.out, specs, args.sheet)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the cars drawn so far are complete, the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
