"""Put the best weights of a training run into the package: in half precision, with notes that say what they are.

    python -m tools.ship_weights RUN --name small --data carvana --command "carvana train ..."

With --mix FILE the shipped weights are a mean: SHARE of the weights in FILE, from which the run started, and the rest
of the run's weights. A net that is trained further on one kind of photo forgets other kinds; the mean keeps more of
both (Wortsman et al. 2022, arXiv 2109.01903). NAME_mix.json records the loss on the validation cars and the gain on the
rendered sample.

The program scores both precisions on the validation cars, and refuses if half precision changes Dice by 1e-4 or more.
It writes carvana_lib/weights/NAME.safetensors, and in docs/results NAME.json, NAME.csv, NAME_training.csv, and
NAME_tta.json with mirrored averaging. NAME_training.csv has a row for each epoch. Name the metrics.csv of earlier
stages with --earlier, and their epochs come first.
"""

from __future__ import annotations

import argparse
import copy
import csv
from pathlib import Path

import torch

from carvana_lib.cli.report import write_json, write_rows
from carvana_lib.data import TEST_FOLD, TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, list_pairs
from carvana_lib.evaluation import baselines, evaluate
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.history import METRICS
from carvana_lib.run.weights import PRETRAINED, load_model, save_weights
from carvana_lib.unet import UNet

from . import ROOT

RESULTS = ROOT / "docs" / "results"
SAMPLE = ROOT / "data" / "sample"
LARGEST = 8e6  # bytes of the file
LICENCE = (
    "MIT for the weights. Trained on the photos of the Carvana Image Masking Challenge: the competition's rules apply "
    "to the photos, which are not part of this file."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--command", required=True, help="how the run was trained, for the file's metadata")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], help="metrics.csv of the earlier stages")
    parser.add_argument("--mix", type=Path, help="weights to take a share of")
    parser.add_argument("--share", type=float, default=0.25)
    options = parser.parse_args()
    model, config = load_model(options.run)
    dataset = cached_dataset(list_pairs(options.data, [VALIDATION_FOLD]), config.size)
    if options.mix:
        before, _ = load_model(options.mix)
        trade = [scores_of_mean(model, before, share, dataset) for share in (0, options.share, 1)]
        write_json(RESULTS / f"{options.name}_mix.json", {"shares": trade})
        model = mean_of(model, before, options.share)
    training = list_pairs(options.data, TRAINING_FOLDS)
    notes = {
        "command": options.command,
        "data": f"{len(training)} photos of {len({pair.car for pair in training})} Carvana cars (folds 2 to 9)",
        "seed": str(config.seed),
        "licence": LICENCE,
    }
    exact = evaluate(model, dataset, outlines=False).summary()["dice"]
    model.half()
    scratch = options.run / "half.safetensors"
    save_weights(scratch, model, config, **notes)
    shipped = load_model(scratch)[0].float()
    result = evaluate(shipped, dataset)
    summary = result.summary()
    change = abs(summary["dice"] - exact)
    print(f"Dice {exact:.6f} in float32, {summary['dice']:.6f} in half precision")
    if change >= 1e-4 or scratch.stat().st_size > LARGEST:
        raise SystemExit(f"not shipped: Dice changed by {change:.1e}, {scratch.stat().st_size / 1e6:.1f} MB")
    scores = {name: f"{summary[name]:.6f}" for name in ("dice", "accuracy", "boundary_error_px")}
    file = PRETRAINED / f"{options.name}.safetensors"
    save_weights(file, model, config, **notes, **scores)
    mirrored = evaluate(shipped, dataset, tta=True).summary()
    settings = {"weights": file.name, "fold": [VALIDATION_FOLD], "threshold": 0.5, "tta": False}
    rows = baselines(cached_dataset(training, config.size), dataset)
    write_json(RESULTS / f"{options.name}.json", {**summary, **settings, "size": config.size, "baselines": rows})
    write_rows(result, RESULTS / f"{options.name}.csv")
    write_stages([*options.earlier, options.run / METRICS], RESULTS / f"{options.name}_training.csv")
    write_json(RESULTS / f"{options.name}_tta.json", {**mirrored, **settings, "tta": True, "size": config.size})
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB; Dice {summary['dice']:.4f}, mirrored {mirrored['dice']:.4f}")


def mean_of(model: UNet, before: UNet, share: float) -> UNet:
    """A net with the weights (1 - share) * model + share * before."""
    mean, other = copy.deepcopy(model.float()), before.float().state_dict()
    for name, tensor in mean.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(other[name], share)
    return mean


def scores_of_mean(model: UNet, before: UNet, share: float, dataset: CarvanaDataset) -> dict[str, float]:
    """Dice of `mean_of(model, before, share)` on `dataset` and on the rendered sample's held-out cars."""
    mean = mean_of(model, before, share)
    sample = cached_dataset(list_pairs(SAMPLE, [TEST_FOLD, VALIDATION_FOLD]), dataset.size)
    found = {"validation": evaluate(mean, dataset, outlines=False), "sample": evaluate(mean, sample, outlines=False)}
    return {"share": share, **{f"{name}_dice": result.summary()["dice"] for name, result in found.items()}}


def write_stages(tables: list[Path], out: Path) -> None:
    """Write the rows of all stages of a training, each with the number of its stage, from 1, in the first column."""
    rows = [
        {"stage": stage, **row}
        for stage, table in enumerate(tables, 1)
        for row in csv.DictReader(table.read_text().splitlines())
    ]
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
