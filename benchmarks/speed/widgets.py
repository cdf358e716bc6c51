"""Milliseconds that the threshold tuner needs in the kernel after a move of its slider.

    python -m benchmarks.speed.widgets [--json FILE]

Photos of the bundled sample are enlarged to each size. Blurred true masks serve as probabilities, so every threshold
gives another outline. The time of a move ends when picture, curve and all numbers are set.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from carvana_lib.data import CarvanaDataset, Pair, list_pairs
from carvana_lib.extras.thresholds import Histograms, Predictions, histogram, to_levels
from carvana_lib.images import read_mask, read_photo
from carvana_lib.widgets.threshold_tuner import VIEWS, ThresholdTuner

from ..common import SAMPLE, command_line, write

SIZES = ((480, 320), (959, 640), (1918, 1280))
MEDIAN_MS, P95_MS = 50, 100  # the limits


def main() -> None:
    parser = command_line(__doc__, "widgets.json")
    parser.add_argument("--photos", type=int, default=48, help="whose scores follow the slider")
    parser.add_argument("--moves", type=int, default=100, help="for each view and size")
    options = parser.parse_args()
    pairs = list_pairs(SAMPLE)[: options.photos]
    results = {"photos": len(pairs), "moves": options.moves, "must": [MEDIAN_MS, P95_MS]}
    for size in SIZES:
        name = "{}x{}".format(*size)
        with tempfile.TemporaryDirectory() as folder:
            tuner = ThresholdTuner(predictions(enlarge(pairs, size, Path(folder))))
            results[name] = {view: measure(tuner, view, options.moves, name) for view in VIEWS}
    write(options.json, results)


def enlarge(pairs: Sequence[Pair], size: tuple[int, int], folder: Path) -> list[Pair]:
    """Copies of the photos and masks at `size` = (width, height), in Kaggle's layout."""
    for name in ("train", "train_masks"):
        (folder / name).mkdir()
    for pair in pairs:
        Image.fromarray(read_photo(pair.photo)).resize(size).save(folder / "train" / pair.photo.name)
        mask = Image.fromarray(read_mask(pair.mask)).resize(size)
        mask.save(folder / "train_masks" / pair.mask.with_suffix(".png").name)
    return list_pairs(folder)


def predictions(pairs: Sequence[Pair]) -> Predictions:
    levels, counts = [], []
    for pair in pairs:
        target = read_mask(pair.mask)
        blurred = gaussian_filter(target.astype(np.float32), target.shape[1] / 480)
        levels.append(to_levels(blurred.clip(0, 1)))
        counts.append(histogram(levels[-1], target))
    car, background = (np.stack(part) for part in zip(*counts, strict=True))
    return Predictions(CarvanaDataset(pairs, (240, 160)), levels, Histograms(car, background))


def measure(tuner: ThresholdTuner, view: str, moves: int, size: str) -> dict[str, float]:
    """Median and 95th percentile of moves to random thresholds, in milliseconds."""
    tuner.view.value = view
    times = []
    for threshold in np.random.default_rng(0).permutation(np.arange(1, moves + 1) / (moves + 1)):
        began = time.perf_counter()
        tuner.threshold.value = float(threshold)
        times.append(1000 * (time.perf_counter() - began))
    median, p95 = (float(np.quantile(times, q)) for q in (0.5, 0.95))
    held = "" if median < MEDIAN_MS and p95 < P95_MS else f"  MORE than {MEDIAN_MS} and {P95_MS} ms"
    print(f"{size:>9} {view:12} median {median:6.1f} ms  95th percentile {p95:6.1f} ms{held}", flush=True)
    return {"median_ms": median, "p95_ms": p95}


if __name__ == "__main__":
    main()
