"""Rows of docs/results.md that need their own training: three seeds, and the protocol of the source project.

    python -m benchmarks.experiments.protocols --data ROOT [--only seeds published]

`seeds` trains the preset `coarse` with three seeds. `published` trains the preset `published`, and scores it as the
source project did (Dice pooled over batches of 32, at 240x240) and as we do. Without a GPU, use a smaller net and
fewer epochs: --base-channels 16 --epochs 3. Runs are kept in build/protocols, so a second call continues where the
first stopped. Writes docs/results/seeds.json and docs/results/published.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from carvana_lib.config import TrainConfig, preset
from carvana_lib.data import VALIDATION_FOLD, CarvanaDataset, find_data, list_pairs
from carvana_lib.evaluation import Evaluation, evaluate
from carvana_lib.metrics import accuracy, bootstrap_interval, confusion, dice
from carvana_lib.prediction import predict_logits
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.fit import fit
from carvana_lib.run.weights import load_model
from carvana_lib.unet import UNet, count_parameters

from ..common import ROOT, command_line, write

RESULTS = ROOT / "docs" / "results"
RUNS = ROOT / "build" / "protocols"
SEEDS = (0, 1, 2)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", default=["seeds", "published"], choices=["seeds", "published"])
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
        write(options.out / "published.json", published(root, config))


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


def published(root: Path, config: TrainConfig) -> dict[str, object]:
    """Dice and accuracy as the source project counted them, at the net's size, and as we count them."""
    name = f"published_base_{config.base_channels}_{config.epochs}_epochs"
    model, dataset, minutes = run(root, config, name)
    counts = torch.cat(list(counts_at_net_size(model, dataset)))
    theirs = {"dice_batch": dice(counts, "batch").item(), "accuracy": accuracy(counts).item()}
    return {
        "base_channels": config.base_channels,
        "parameters": count_parameters(model),
        "epochs": config.epochs,
        "minutes": minutes,
        "at_net_size": theirs,
        "native": evaluate(model, dataset).summary(),
    }


def counts_at_net_size(model: UNet, dataset: CarvanaDataset, batch_size: int = 32) -> Iterator[torch.Tensor]:
    """`metrics.confusion` of each batch at the net's size. A pixel is car if more than half of it is car."""
    for start in range(0, len(dataset), batch_size):
        images, masks = dataset.batch(list(range(start, min(start + batch_size, len(dataset)))))
        yield confusion(predict_logits(model, images)[:, 0] > 0, masks[:, 0] > 127)


if __name__ == "__main__":
    main()
