"""Do scores depend on threads, batch size or processes? Does the same seed give the same weights?

    python -m benchmarks.reliability.same [--data ROOT] [--json FILE]

The shipped weights score every third validation photo: the net sees 240x160 pixels, the score is at the photo's own
size. For each precision, every combination is compared with one thread, one process and batches of 4.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from carvana_lib.base.devices import pick_precision
from carvana_lib.data import list_pairs
from carvana_lib.evaluation import Evaluation, evaluate
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.checkpoint import load_checkpoint
from carvana_lib.run.fit import fit
from carvana_lib.run.weights import load_pretrained

from ..common import SAMPLE, SIZE, command_line, write
from .kills import CONFIG

THREADS, BATCHES, PROCESSES = (1, 2, 3, 4), (1, 2, 3, 5, 8, 16), (1, 2, 3)
EVERY = 3  # every third validation photo is scored
PRECISIONS = ("auto", "float32", "bf16")
SCORES = ("dice", "dice_global", "dice_batch", "accuracy", "iou")


def share(data: str, rank: int, processes: int, threads: int, batch_size: int, precision: str) -> Evaluation:
    """The share of process number `rank`, scored."""
    torch.set_num_threads(threads)
    model, _ = load_pretrained()
    dataset = cached_dataset(list_pairs(data, [1])[::EVERY], SIZE, progress=False)
    mine = range(rank, len(dataset), processes)
    return evaluate(model, dataset, 0.5, False, batch_size, False, mine, False, precision)


def scored(
    pool: ProcessPoolExecutor, data: Path, processes: int, threads: int, batch_size: int, precision: str
) -> Evaluation:
    """All photos, in the order of their names; each process scores its share."""
    parts = [
        pool.submit(share, str(data), rank, processes, threads, batch_size, precision) for rank in range(processes)
    ]
    rows = [row for part in parts for row in zip(part.result().names, part.result().counts, strict=True)]
    names, counts = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
    return Evaluation(list(names), torch.stack(counts), np.array([]))


def difference(ours: Evaluation, theirs: Evaluation) -> float:
    """The largest difference between the scores of all photos, and between the Dice of single photos."""
    a, b = ours.summary(), theirs.summary()
    return max(*(abs(a[name] - b[name]) for name in SCORES), float(np.abs(ours.dice - theirs.dice).max()))


def same_weights(data: Path) -> bool:
    """Whether two trainings with one seed end with equal weights."""
    states = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("one", "two"):
            fit(CONFIG, data, Path(scratch) / name, progress=False)
            states.append(load_checkpoint(Path(scratch) / name)["parts"]["model"])
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def main() -> None:
    parser = command_line(__doc__, "same.json")
    parser.add_argument("--data", type=Path, default=SAMPLE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = [(1, threads, batch) for threads in THREADS for batch in BATCHES]
    ways += [(processes, 1, 4) for processes in PROCESSES]
    results: dict[str, object] = {"auto_is": pick_precision("auto", torch.device("cpu"))}
    with ProcessPoolExecutor(max(PROCESSES), multiprocessing.get_context("spawn")) as pool:
        for precision in PRECISIONS:
            reference = scored(pool, options.data, 1, 1, 4, precision)
            differences = {}
            for processes, threads, batch in ways:
                found = difference(scored(pool, options.data, processes, threads, batch, precision), reference)
                differences[f"{processes} processes, {threads} threads, batches of {batch}"] = found
            results[precision] = {"dice": reference.summary()["dice"], "largest_difference": max(differences.values())}
            print(precision, json.dumps(results[precision]), flush=True)
    results["same_seed_same_weights"] = same_weights(options.data)
    photos = len(reference.names)
    write(options.json, {"photos": photos, "ways": len(ways), "size": SIZE, **results})


if __name__ == "__main__":
    main()
