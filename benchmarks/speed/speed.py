"""Our way and the usual way compared: loading, training steps, a whole epoch, scoring.

    python -m benchmarks.speed.speed [--data ROOT] [--json FILE]

Both ways take turns in this process, several times. Each ratio is that of two neighbouring runs, so a machine that
becomes slower half-way does not change it. Net, batch and photos (fold 1) are the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from carvana_lib.config import TrainConfig
from carvana_lib.data import CarvanaDataset, Pair, find_data, list_pairs
from carvana_lib.evaluation import evaluate
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.fit import epoch_order
from carvana_lib.training import Trainer

from ..common import SIZE, command_line, take_steps, write
from .usual import usual_evaluate, usual_loader, usual_step


def main() -> None:
    parser = command_line(__doc__, "speed.json")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--fold", type=int, default=1, help="the fold whose photos are used")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pairs = list_pairs(find_data(options.data), [options.fold])[:128]
    dataset = cached_dataset(pairs, SIZE)
    results = {"photos": len(pairs), "rounds": options.rounds, "size": SIZE}
    cases: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("loading, 240x160, batch 16", lambda: load_usual(pairs), lambda: load_ours(dataset)),
        ("training steps, base 64, batch 4", *steppers(dataset, 64, 4, 3)),
        ("training steps, base 16, batch 16", *steppers(dataset, 16, 16, 4)),
        ("epoch with loading, base 16, batch 16", lambda: epoch_usual(pairs), lambda: epoch_ours(dataset)),
        ("scoring at native size, base 16", *scorers(pairs, dataset)),
    ]
    for name, usual, ours in cases:
        results[name] = compare(name, usual, ours, options.rounds)
    results["native Dice"] = score_both(pairs, dataset)
    write(options.json, results)


def compare(name: str, usual: Callable[[], float], ours: Callable[[], float], rounds: int) -> dict[str, object]:
    """Photos a second of both ways, which take turns, and the ratio ours/usual of each round."""
    usual(), ours()
    rates = [(usual(), ours()) for _ in range(rounds)]
    ratios = [b / a for a, b in rates]
    row = {
        "usual_photos_per_second": statistics.median(a for a, _ in rates),
        "ours_photos_per_second": statistics.median(b for _, b in rates),
        "ratio": statistics.median(ratios),
        "ratio_range": (min(ratios), max(ratios)),
    }
    print(
        f"{name:40} usual {row['usual_photos_per_second']:8.1f}  ours {row['ours_photos_per_second']:8.1f} photos/s  "
        f"ratio {row['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )
    return row


def rate(photos: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return photos / (time.perf_counter() - began)


def load_usual(pairs: Sequence[Pair]) -> float:
    loader = usual_loader(pairs, SIZE, 16)
    return rate(len(pairs), lambda: [None for _ in loader])


def load_ours(dataset: CarvanaDataset) -> float:
    """Loads as `run.fit.draw_batches` does: bytes from the cache in random order, to float32 in [0, 1]."""
    order = epoch_order(len(dataset), 0, 0).split(16)

    def work() -> None:
        for indices in order:
            images, masks = dataset.batch(indices.tolist())
            images.float() / 255, masks.float() / 255

    return rate(len(dataset), work)


def steppers(dataset: CarvanaDataset, base_channels: int, batch: int, steps: int) -> tuple[Callable, Callable]:
    """Training steps without decoding: the usual way finds its batch decoded in memory."""
    config = TrainConfig(size=SIZE, base_channels=base_channels, batch_size=batch, loss="bce", ema_decay=0.0)
    model = config.build_model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    images, masks = (part[:batch].float().contiguous() / 255 for part in dataset.batch(range(batch)))
    trainer = Trainer(config, len(dataset))
    return (
        lambda: rate(steps * batch, lambda: [usual_step(model, optimizer, images, masks) for _ in range(steps)]),
        lambda: rate(steps * batch, lambda: take_steps(trainer, dataset, steps)),
    )


def epoch_usual(pairs: Sequence[Pair]) -> float:
    model = TrainConfig(base_channels=16).build_model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    loader = usual_loader(pairs, SIZE, 16)
    return rate(len(pairs), lambda: [usual_step(model, optimizer, *batch) for batch in loader])


def epoch_ours(dataset: CarvanaDataset) -> float:
    config = TrainConfig(size=SIZE, base_channels=16, loss="bce", ema_decay=0.0)
    trainer = Trainer(config, len(dataset))
    return rate(len(dataset), lambda: take_steps(trainer, dataset, trainer.steps_per_epoch))


def scorers(pairs: Sequence[Pair], dataset: CarvanaDataset) -> tuple[Callable, Callable]:
    model = TrainConfig(base_channels=16).build_model().eval()
    few = CarvanaDataset(pairs[:64], SIZE, tuple(part[:64] for part in dataset.arrays))
    return (
        lambda: rate(64, lambda: usual_evaluate(model, pairs[:64], SIZE)),
        lambda: rate(64, lambda: evaluate(model, few, outlines=False, progress=False)),
    )


def score_both(pairs: Sequence[Pair], dataset: CarvanaDataset) -> dict[str, float]:
    """Mean Dice at native size after a short training, counted in the usual way and in ours."""
    config = TrainConfig(size=SIZE, base_channels=16, batch_size=16, epochs=6, learning_rate=5e-3)
    trainer = Trainer(config, len(dataset))
    take_steps(trainer, dataset, trainer.total_steps)
    model = trainer.trained_model()
    few = CarvanaDataset(pairs[:64], SIZE, tuple(part[:64] for part in dataset.arrays))
    return {
        "usual": usual_evaluate(model, pairs[:64], SIZE),
        "ours": float(evaluate(model, few, outlines=False, progress=False).dice.mean()),
    }


if __name__ == "__main__":
    main()
