"""Peak memory of training (our way and the usual way) and of scoring, by number of photos; seconds to open a cache.

    python -m benchmarks.speed.memory [--ways open score ours usual read predict] [--json FILE]

Each figure comes from a new process. The photos are noise at 240x160: memory depends on the size that the net sees,
not on the size of the files. The ways "read" and "predict" take a single large JPEG instead, made from a photo of the
sample. Ways that are not named keep their last figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from carvana_lib.config import TrainConfig
from carvana_lib.data import list_pairs
from carvana_lib.evaluation import evaluate
from carvana_lib.images import read_photo
from carvana_lib.prediction import predict_photo
from carvana_lib.prepare.cache import cached_dataset

from ..common import ROOT, SAMPLE, SIZE, command_line, peak_gb, write
from .speed import steppers
from .usual import usual_loader, usual_step

COUNTS = (500, 1000, 2000)
WAYS = ("open", "score", "ours", "usual")
PHOTO_WAYS = ("read", "predict")
PHOTO_SIZES = ((4000, 3000), (8160, 6144), (12_240, 8160))  # 12, 50 and 100 megapixels
MANY = 5000


def main() -> None:
    parser = command_line(__doc__, "memory.json")
    parser.add_argument("--ways", nargs="+", default=WAYS + PHOTO_WAYS, choices=WAYS + PHOTO_WAYS)
    parser.add_argument("--child", nargs=3, metavar=("WAY", "DATA", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child)))
        return
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    results |= {"size": SIZE}
    if "open" in options.ways:
        modules = {name: import_seconds(name) for name in ("carvana_lib", "carvana_lib.training")}
        print("seconds to import after torch:", json.dumps(modules), flush=True)
        results["import_seconds"] = modules
    with tempfile.TemporaryDirectory() as scratch:
        ways = [way for way in PHOTO_WAYS if way in options.ways]
        for size in PHOTO_SIZES if ways else ():
            photo, name = Path(scratch) / "large.jpg", f"photo of {size[0] * size[1] / 1e6:.0f} megapixels"
            Image.open(list_pairs(SAMPLE)[0].photo).resize(size).save(photo, quality=95)
            results[name] = results.get(name, {}) | {way: run_child(way, photo, photo) for way in ways}
            print(name, json.dumps(results[name]), flush=True)
        for count in (*COUNTS, MANY) if set(options.ways) & set(WAYS) else ():
            data, cache = Path(scratch) / f"data{count}", Path(scratch) / "cache"
            make_photos(data, count)
            cached_dataset(list_pairs(data), SIZE, cache)
            ways = [way for way in WAYS if way in options.ways and (count < MANY or way in ("open", "score"))]
            results[str(count)] = results.get(str(count), {}) | {way: run_child(way, data, cache) for way in ways}
            print(count, "photos:", json.dumps(results[str(count)]), flush=True)
    write(options.json, results)


def child(way: str, data: str, cache: str) -> dict[str, float]:
    """What a process measures of itself: seconds to open the cache, or peak memory of five steps or of scoring."""
    if way == "open":
        began = time.perf_counter()
        pairs = list_pairs(data)
        listed = time.perf_counter()
        cached_dataset(pairs, SIZE, Path(cache))
        return {"seconds_to_list": listed - began, "seconds_to_open": time.perf_counter() - listed}
    pairs = [] if way in PHOTO_WAYS else list_pairs(data)
    began = time.perf_counter()
    if way == "read":
        read_photo(data)
    elif way == "predict":
        predict_photo(TrainConfig(base_channels=4).build_model().eval(), data, SIZE)
    elif way == "score":
        evaluate(TrainConfig(base_channels=4).build_model().eval(), cached_dataset(pairs, SIZE, Path(cache)))
    elif way == "ours":
        steppers(cached_dataset(pairs, SIZE, Path(cache)), 16, 16, 5)[1]()
    else:
        model = TrainConfig(base_channels=16).build_model()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
        for _, batch in zip(range(5), usual_loader(pairs, SIZE, 16), strict=False):
            usual_step(model, optimizer, *batch)
    return {"peak_gb": peak_gb(), "seconds": time.perf_counter() - began}


def run_child(way: str, data: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.speed.memory", "--child", way, str(data), str(cache)]
    return json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


def import_seconds(module: str) -> float:
    """Seconds that `import module` takes after `import torch`: the median of three processes."""
    code = f"import torch, time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(3)]
    return sorted(float(run.stdout) for run in runs)[1]


def make_photos(root: Path, count: int) -> None:
    """Write `count` pairs at the net's size: links to the same sixteen pairs."""
    width, height = SIZE
    generator = np.random.default_rng(0)
    (root / "train").mkdir(parents=True)
    (root / "train_masks").mkdir()
    for number in range(count):
        name = f"{number // 16 + 16:012x}_{number % 16 + 1:02d}"
        photo, mask = root / "train" / f"{name}.jpg", root / "train_masks" / f"{name}_mask.gif"
        if number < 16:
            Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(photo)
            Image.fromarray(generator.random((height, width)) > 0.8).save(mask)
            continue
        first = f"{16:012x}_{number % 16 + 1:02d}"
        photo.hardlink_to(root / "train" / f"{first}.jpg")
        mask.hardlink_to(root / "train_masks" / f"{first}_mask.gif")


if __name__ == "__main__":
    main()
