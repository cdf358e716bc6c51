"""Rows of docs/results.md that need their own training: three seeds, and the protocol of the source project.

    python -m benchmarks.experiments.protocols --data ROOT [--only seeds published] [--split photo car]

`seeds` trains the preset `coarse` with three seeds; its runs are kept in build/protocols, so a second call continues
where the first stopped. `published` trains the preset `published` and scores it as the source project did: 240x240
masks, Dice pooled over batches of 32. `--split photo` scores 96 random photos and trains on all others, as the source
project did. `--split car` trains on folds 2 to 9 and scores fold 1, at 240x240 and at the photos' own size. A GPU takes
minutes. Without one use a smaller net and fewer epochs: --base-channels 16 --epochs 3. Writes docs/results/seeds.json,
published_photo.json and published_car.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from carvana_lib.config import TrainConfig, preset
from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair, find_data, list_pairs
from carvana_lib.evaluation import Evaluation, evaluate
from carvana_lib.metrics import accuracy, bootstrap_interval, confusion, dice
from carvana_lib.prediction import predict_logits
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.fit import draw_batches, fit
from carvana_lib.run.weights import load_model
from carvana_lib.training import Trainer
from carvana_lib.unet import UNet

from ..common import ROOT, command_line, machine, write

RESULTS = ROOT / "docs" / "results"
RUNS = ROOT / "build" / "protocols"
SEEDS = (0, 1, 2)
SCORED_PHOTOS = 96  # of the split by photo


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", default=["seeds", "published"], choices=["seeds", "published"])
    parser.add_argument("--split", nargs="+", default=["photo", "car"], choices=["photo", "car"], help="of `published`")
    parser.add_argument("--seed-epochs", type=int, default=4, help="of each of the three runs")
    parser.add_argument("--base-channels", type=int, default=64, help="of `published`")
    parser.add_argument("--epochs", type=int, default=10, help="of `published`")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    root = find_data(options.data)
    if "seeds" in options.only:
        write(options.out / "seeds.json", seeds(root, options.seed_epochs))
    if "published" in options.only:
        config = preset("published", base_channels=options.base_channels, epochs=options.epochs)
        for split in options.split:
            write(options.out / f"published_{split}.json", published(root, config, split))


def run(root: Path, config: TrainConfig, name: str) -> tuple[UNet, CarvanaDataset, float]:
    """Train, or finish a run that was stopped. Returns the best weights, the validation photos and the minutes."""
    history = fit(config, root, RUNS / name, resume=True)
    model, _ = load_model(RUNS / name)
    minutes = sum(row["seconds"] for row in history) / 60
    return model, cached_dataset(list_pairs(root, [VALIDATION_FOLD]), config.size), minutes


def seeds(root: Path, epochs: int) -> dict[str, object]:
    """Scores at the photos' own size of three runs that differ only in the seed, and their mean."""
    rows, found = [], []
    for seed in SEEDS:
        config = preset("coarse", epochs=epochs, seed=seed)
        model, dataset, minutes = run(root, config, f"coarse_{epochs}_epochs_seed_{seed}")
        found.append(evaluate(model, dataset))
        rows.append({"seed": seed, **found[-1].summary(), "minutes": minutes})
        print(rows[-1], flush=True)
    return {"preset": "coarse", "epochs": epochs, "runs": rows, **mean_of(found)}


def mean_of(found: list[Evaluation]) -> dict[str, object]:
    """The mean over runs on the same photos: Dice with its interval over cars, accuracy, boundary error."""
    per_photo = np.mean([one.dice for one in found], axis=0)
    return {
        "dice": float(per_photo.mean()),
        "dice_ci95": bootstrap_interval(per_photo, [name[:12] for name in found[0].names]),
        "accuracy": float(np.mean([accuracy(one.counts).item() for one in found])),
        "boundary_error_px": float(np.mean([one.boundary_errors.mean() for one in found])),
    }


def published(root: Path, config: TrainConfig, split: str) -> dict[str, object]:
    """Dice and accuracy as the source project counted them, at the net's size; by car also as we count them.

    `seconds` count from decoded photos and hold training and the scores at the net's size.
    """
    train, scored = (cached_dataset(pairs, config.size) for pairs in split_pairs(root, split))
    trainer = Trainer(config, len(train))
    train.keep_on(trainer.accelerator.device)
    began, epochs = time.perf_counter(), []
    for epoch in range(1, config.epochs + 1):
        loss = torch.stack(list(trainer.epoch(draw_batches(trainer, train)))).mean().item()
        trainer.epochs_done, trainer.steps_done = epoch, 0
        epochs.append({"epoch": epoch, "seconds": time.perf_counter() - began, "loss": loss})
        print(epochs[-1], flush=True)
    model = trainer.trained_model()
    counts = torch.cat(list(counts_at_net_size(model, scored)))
    seconds, here = time.perf_counter() - began, machine()
    return {
        "split": split,
        "n_train": len(train),
        "n_val": len(scored),
        "dice_batch": dice(counts, "batch").item(),
        "dice": dice(counts).item(),
        "accuracy": accuracy(counts).item(),
        "epochs": epochs,
        "seconds": seconds,
        "config": json.loads(config.to_json()),
        **({"native": evaluate(model, scored).summary()} if split == "car" else {}),
        "device": f"{here['gpu'] or here['processor']}, PyTorch {here['torch']}, {here['cores']} CPU cores",
    }


def split_pairs(root: Path, split: str) -> tuple[list[Pair], list[Pair]]:
    """Photos to train on and photos to score: whole cars, or random photos of all cars."""
    if split == "car":
        return list_pairs(root, TRAINING_FOLDS), list_pairs(root, [VALIDATION_FOLD])
    pairs = list_pairs(root)
    chosen = set(np.random.default_rng(0).permutation(len(pairs))[:SCORED_PHOTOS].tolist())
    return [pair for i, pair in enumerate(pairs) if i not in chosen], [pairs[i] for i in sorted(chosen)]


def counts_at_net_size(model: UNet, dataset: CarvanaDataset, batch_size: int = 32) -> Iterator[torch.Tensor]:
    """`metrics.confusion` of each batch at the net's size. A pixel is car if more than half of it is car."""
    for start in range(0, len(dataset), batch_size):
        images, masks = dataset.batch(list(range(start, min(start + batch_size, len(dataset)))))
        logits = predict_logits(model, images.to(next(model.parameters()).device))
        yield confusion(logits[:, 0].cpu() > 0, masks[:, 0] > 127)


if __name__ == "__main__":
    main()
