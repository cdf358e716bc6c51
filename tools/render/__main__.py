"""Draw the bundled sample: cars on a turntable with exact masks and part labels, in the layout of the Carvana data.

python -m tools.render --out data/sample --cars 24 --seed 0   # what is missing; finished cars are kept
python -m tools.render --out data/sample --car 3              # the 16 views of one car, named by position or id
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import finish
from .draw import draw_car
from .params import VIEWS, CarSpec, line_up


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Draw the bundled sample with Blender's Python module.")
    made.add_argument("--out", type=Path, default=Path("data/sample"), help="folder to write to (%(default)s)")
    made.add_argument("--cars", type=int, default=24, help="how many cars the sample has (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="the same seed gives the same cars (%(default)s)")
    made.add_argument("--car", help="draw only this car: its position (from 0) or its id")
    made.add_argument("--overwrite", action="store_true", help="draw finished cars again")
    made.add_argument("--samples", type=int, default=8, help="light paths for each pixel (%(default)s)")
    made.add_argument("--threads", type=int, default=2, help="processor cores to use (%(default)s)")
    made.add_argument("--sheet", type=Path, help="also write a contact sheet of the finished cars to this JPEG file")
    return made


def chosen(specs: Sequence[CarSpec], car: str | None) -> list[CarSpec]:
    """The cars to draw: all, or the one with this position or id."""
    if car is None:
        return list(specs)
    found = [spec for spec in specs if car in (str(spec.index), spec.car)]
    if not found:
        raise SystemExit(f"error: no car {car!r}: give a position from 0 to {len(specs) - 1} or an id of the sample")
    return found


def draw_all(specs: Sequence[CarSpec], args: argparse.Namespace) -> None:
    """Draw the cars that are missing; after each car, print a line of progress."""
    todo = [spec for spec in specs if args.overwrite or not finish.complete(args.out, spec.car)]
    if len(todo) < len(specs):
        print(f"{len(specs) - len(todo)} of {len(specs)} cars are already complete")
    if todo and importlib.util.find_spec("bpy") is None:
        raise SystemExit("error: Blender is missing; with Python 3.11: pip install -r tools/render/requirements.txt")
    start = time.monotonic()
    for done, spec in enumerate(todo, 1):
        photos = args.overwrite or not finish.photographed(args.out, spec.car)
        draw_car(spec, args.out, args.samples, args.threads, photos)
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
        finish.write_table(args.out, specs)
        finish.write_description(args.out)
        if args.sheet:
            finish.write_sheet(args.out, specs, args.sheet)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the cars drawn so far are complete, and the same command draws the rest", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
