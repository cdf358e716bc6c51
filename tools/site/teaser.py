"""The picture at the top of the README: rendered cars, their masks, and the effect of the threshold.

python -m tools.site.teaser [--out docs/teaser.jpg]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from carvana_lib.cli.options import place
from carvana_lib.data import list_pairs
from carvana_lib.images import read_mask, read_photo
from carvana_lib.pictures.overlays import error_map, heat_map, overlay
from carvana_lib.prediction import predict_array
from carvana_lib.run.weights import load_pretrained

from .. import ROOT

# One view of each of three cars. They are in folds 0 and 1: no training uses them.
CARS = (("00a5e6a64669", 3), ("2dfaca2829de", 15), ("e7e435738c1d", 6))
THRESHOLDS = (0.02, 0.5, 0.98)
SIZE, GAP, LETTERS = (300, 200), 6, 26  # pixels: a picture, the gap beside it, the line of titles


def draw_teaser() -> Image.Image:
    model, config = load_pretrained("small")
    pairs = {(pair.car, pair.view): pair for pair in list_pairs(ROOT / "data" / "sample", [0, 1])}
    rows = []
    for car, threshold in zip(CARS, THRESHOLDS, strict=True):
        photo, target = read_photo(pairs[car].photo), read_mask(pairs[car].mask)
        chance = predict_array(model, photo, config.size)
        pictures = photo, heat_map(photo, chance), overlay(photo, chance > 0.5)
        rows.append([*pictures, error_map(photo, chance > threshold, target)])
    titles = "photo", "probability of car", "mask: above 0.5", "errors above " + ", ".join(map(str, THRESHOLDS))
    width, height = SIZE
    sheet = Image.new("RGB", (4 * (width + GAP) - GAP, 3 * (height + GAP) - GAP + LETTERS), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for column in range(4):
        x = column * (width + GAP)
        draw.text((x + width / 2, LETTERS / 2), titles[column], fill="black", font=font, anchor="mm")
        for row, pictures in enumerate(rows):
            small = Image.fromarray(np.ascontiguousarray(pictures[column])).resize(SIZE, Image.Resampling.LANCZOS)
            sheet.paste(small, (x, LETTERS + row * (height + GAP)))
    return sheet


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "docs" / "teaser.jpg")
    options = parser.parse_args()
    draw_teaser().save(options.out, quality=88, optimize=True)
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
