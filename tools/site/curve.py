"""The counts behind the page "One threshold for all photos", from the shipped weights and the rendered validation cars.

python -m tools.site.curve writes docs/demo/curve.json. It takes half a minute, so the file is kept in git.
"""

import json

import numpy as np

from carvana_lib.data import VALIDATION_FOLD, CarvanaDataset, list_pairs
from carvana_lib.extras.thresholds import BINS, predict_dataset
from carvana_lib.run.weights import load_pretrained
from carvana_lib.widgets.tool import car_names

from .. import ROOT

FILE = ROOT / "docs" / "demo" / "curve.json"


def count(names: list[str] | None = None) -> list[dict[str, object]]:
    """For each photo, or those named, how many of its car and other pixels have which probability, in steps of 0.01."""
    model, config = load_pretrained("small")
    pairs = list_pairs(ROOT / "data" / "sample", [VALIDATION_FOLD])
    cars = {car: name.split(" (")[0] for car, name in car_names(pairs).items()}
    pairs = [pair for pair in pairs if names is None or pair.name in names]
    found = predict_dataset(model, CarvanaDataset(pairs, config.size)).histograms
    starts = [0, *range(1, BINS + 1, BINS // 100)]  # probability 0, then (0, 0.01], ..., (0.99, 1]
    car, other = (np.add.reduceat(part, starts, axis=1).tolist() for part in (found.car, found.background))
    return [
        {"name": pair.name, "label": cars[pair.car], "view": pair.view, "car": car[i], "background": other[i]}
        for i, pair in enumerate(pairs)
    ]


if __name__ == "__main__":
    FILE.write_text("[" + ",\n".join(json.dumps(photo, separators=(",", ":")) for photo in count()) + "]\n")
