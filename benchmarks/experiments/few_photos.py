"""How good does a net get with 4, 8, 16 or 32 photos, from random weights and from `small`?

    python -m benchmarks.experiments.few_photos

Two data sets that are not Carvana's: the parts of the rendered cars (five classes) and drawn cells (two classes).
The photos are drawn from the training folds, three times. All photos of folds 0 and 1 are scored at their own size:
cars and dishes that no training saw. All trainings have the same settings and as many steps. Writes
docs/results/experiments/few_photos.json after each training; a second call goes on where the first stopped.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from carvana_lib.config import TrainConfig
from carvana_lib.data import TRAINING_FOLDS, CarvanaDataset, list_pairs
from carvana_lib.evaluation import evaluate
from carvana_lib.run.weights import start_weights
from carvana_lib.training import Trainer

from ..common import ROOT, command_line, take_steps, write
from .experiments import RESULTS

# The net of `small`, on photos so small that two cores need a quarter of an hour for all trainings.
BASE = TrainConfig(patch=2, batch_size=4, rotate=5.0, scale=0.1, shift=0.05, colour=0.2, ema_decay=0.98)
SETS = {"parts": ("data/sample/parts", (144, 96)), "cells": ("data/cells", (128, 128))}
STARTS = {"random": "", "small": "small"}
COUNTS = (4, 8, 16, 32)
DRAWS = range(3)
STEPS = 300
Rows = dict[str, dict[str, dict[str, list[float]]]]  # data set, start, number of photos: a Dice for each draw


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "few_photos.json")
    parser.add_argument("--steps", type=int, default=STEPS, help="use it only to try the command")
    options = parser.parse_args()
    budget = {"steps": options.steps, "batch_size": BASE.batch_size}
    rows: Rows = json.loads(options.out.read_text())["dice"] if options.out.exists() else {}
    for name, (folder, size) in SETS.items():
        pairs = list_pairs(ROOT / folder)
        train = CarvanaDataset([pair for pair in pairs if pair.fold in TRAINING_FOLDS], size)
        scored = CarvanaDataset([pair for pair in pairs if pair.fold not in TRAINING_FOLDS], size)
        for count in COUNTS:
            for start, weights in STARTS.items():
                found = rows.setdefault(name, {}).setdefault(start, {}).setdefault(str(count), [])
                for draw in DRAWS[len(found) :]:
                    found.append(train_on(train, scored, count, weights, draw, options.steps))
                    print(f"{name}, {count} photos, from {start}, draw {draw}: {found[-1]:.4f}", flush=True)
                    write(options.out, {**budget, "dice": rows})


def train_on(train: CarvanaDataset, scored: CarvanaDataset, count: int, start: str, draw: int, steps: int) -> float:
    """Dice on all photos of `scored`, after a training on `count` photos of `train`."""
    chosen = np.random.default_rng(draw).permutation(len(train))[:count]
    photos = CarvanaDataset([train.pairs[index] for index in sorted(chosen)], train.size)
    images, masks = photos.batch(range(count))
    photos.arrays = images.permute(0, 2, 3, 1).numpy(), (masks if train.classes else masks[:, 0]).numpy()
    per_epoch = count // BASE.batch_size
    epochs = -(-steps // per_epoch)
    trainer = Trainer(replace(BASE, size=train.size, classes=train.classes, seed=draw, epochs=epochs), count)
    if start:
        start_weights(trainer.model, start, quiet=True)
    take_steps(trainer, photos, steps)
    return float(evaluate(trainer.trained_model(), scored, outlines=False, progress=False).dice.mean())


if __name__ == "__main__":
    main()
