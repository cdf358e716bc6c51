"""Put trained weights into the package: in half precision, with notes that say what they are.

    python -m tools.ship_weights WEIGHTS --name small --data data/carvana --command "carvana train ..." --trained "..."

WEIGHTS is a run folder or a .safetensors file. The program scores the weights as they are and in half precision on the
validation cars of the data folder, and refuses if half precision changes Dice by 1e-4 or more. It writes
carvana_lib/weights/NAME.safetensors, and in docs/results NAME.json, NAME.csv, NAME_tta.json (averaged with the mirrored
photo), and NAME_sample.json (the rendered cars of folds 0 and 1, which no weights were trained on).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from carvana_lib.cli.options import place
from carvana_lib.cli.report import write_json, write_rows
from carvana_lib.data import TEST_FOLD, TRAINING_FOLDS, VALIDATION_FOLD, list_pairs
from carvana_lib.evaluation import baselines, evaluate
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.weights import PRETRAINED, load_model, save_weights

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
    parser.add_argument("weights", type=place, help="a run folder or a .safetensors file")
    parser.add_argument("--name", required=True)
    parser.add_argument("--data", type=place, required=True)
    parser.add_argument("--command", required=True, help="how the weights were trained, for the file's metadata")
    parser.add_argument("--trained", required=True, help="on which photos, for the file's metadata")
    options = parser.parse_args()
    model, config = load_model(options.weights)
    dataset = cached_dataset(list_pairs(options.data, [VALIDATION_FOLD]), config.size)
    exact = evaluate(model, dataset, outlines=False).summary()["dice"]
    notes = {"command": options.command, "data": options.trained, "seed": str(config.seed), "licence": LICENCE}
    model.half()
    with tempfile.TemporaryDirectory() as folder:
        save_weights(Path(folder) / "half.safetensors", model, config, **notes)
        shipped = load_model(Path(folder) / "half.safetensors")[0]
        size = (Path(folder) / "half.safetensors").stat().st_size
    result = evaluate(shipped, dataset)
    summary = result.summary()
    change = abs(summary["dice"] - exact)
    print(f"Dice {exact:.6f} as trained, {summary['dice']:.6f} in half precision")
    if change >= 1e-4 or size > LARGEST:
        raise SystemExit(f"not shipped: Dice changed by {change:.1e}, {size / 1e6:.1f} MB")
    scores = {name: f"{summary[name]:.6f}" for name in ("dice", "accuracy", "boundary_error_px")}
    file = PRETRAINED / f"{options.name}.safetensors"
    save_weights(file, model, config, **notes, **scores)
    settings = {"weights": file.name, "fold": [VALIDATION_FOLD], "threshold": 0.5, "tta": False, "size": config.size}
    rows = baselines(cached_dataset(list_pairs(options.data, TRAINING_FOLDS), (240, 160)), dataset)
    precision = {"dice_as_trained": exact, "megabytes": size / 1e6}
    write_json(RESULTS / f"{options.name}.json", {**summary, **settings, **precision, "baselines": rows})
    write_rows(result, RESULTS / f"{options.name}.csv")
    mirrored = evaluate(shipped, dataset, tta=True).summary()
    write_json(RESULTS / f"{options.name}_tta.json", {**mirrored, **settings, "tta": True})
    rendered = cached_dataset(list_pairs(SAMPLE, [TEST_FOLD, VALIDATION_FOLD]), config.size)
    on_sample = evaluate(shipped, rendered).summary()
    settings["fold"] = [TEST_FOLD, VALIDATION_FOLD]
    write_json(RESULTS / f"{options.name}_sample.json", {**on_sample, **settings})
    print(f"{file}: {size / 1e6:.1f} MB; Dice {summary['dice']:.4f}, mirrored {mirrored['dice']:.4f}")
    print(f"Rendered cars of folds 0 and 1: Dice {on_sample['dice']:.4f}")


if __name__ == "__main__":
    main()
