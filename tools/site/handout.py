"""The one-page handout: U-Net, Dice and the shape table, as build/handout.pdf.

    python -m tools.site.handout [--out build/handout.pdf]

Every shape and count is taken from the library's net while it reads a photo. So the page cannot disagree with the code.
The pictures are from the rendered sample.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from carvana_lib.cli.options import place
from carvana_lib.data import TEST_FOLD, list_pairs
from carvana_lib.images import read_mask, read_photo
from carvana_lib.metrics import confusion, dice
from carvana_lib.pictures.overlays import BLUE, ORANGE, error_map, overlay
from carvana_lib.prediction import predict_array
from carvana_lib.run.weights import load_pretrained
from carvana_lib.unet import UNet, count_parameters

from .. import ROOT

A4 = (8.27, 11.69)
SIZE = (240, 160)  # width and height of the photo in the shape table
blue, orange = np.array(BLUE) / 255, np.array(ORANGE) / 255
MOVES = (
    ("convolve twice", "two 3x3 convolutions, each with batch norm and ReLU: size stays, channels change"),
    ("down", "2x2 max pooling: half the height and width; what is it?"),
    ("up", "2x2 transposed convolution: twice the height and width; where is it?"),
    ("skip", "the map of the same size from the way down joins the map that came up"),
)
FORMULAS = (
    r"Dice $=\dfrac{2\,|X\cap Y|}{|X|+|Y|}=\dfrac{2\,TP}{2\,TP+FP+FN}$",
    r"IoU $=\dfrac{|X\cap Y|}{|X\cup Y|}=\dfrac{TP}{TP+FP+FN}$",
    r"Dice $=\dfrac{2\,\mathrm{IoU}}{1+\mathrm{IoU}}$",
)
NOTES = (
    "X predicted car, Y true car. 1: the same; 0: nothing in common; two empty masks: 1.",
    "Accuracy counts background too: an empty mask has Dice 0 and most pixels right.",
    "Per photo, at the mask's own size, then the mean; intervals over cars, not photos.",
    "p > 0.5 is logit > 0. Choose the threshold on fold 1, report on fold 0.",
)


def shape_table(net: UNet, photo: torch.Tensor) -> list[tuple[str, tuple[int, ...], tuple[int, ...], int]]:
    """A row (block, shape in, shape out, parameters) for every block, in the order in which they run.

    Args:
        photo: (1, channels, H, W).

    Returns:
        Rows whose shapes are (channels, height, width).
    """
    rows: list[tuple[str, tuple[int, ...], tuple[int, ...], int]] = []
    names = {net.stem: "stem", net.head: "head"}
    names |= {block: f"down {level}" for level, block in enumerate(net.down, 1)}
    names |= {block: f"up {net.depth - step}" for step, block in enumerate(net.up, 1)}

    def note(block: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        rows.append((names[block], tuple(inputs[0].shape[1:]), tuple(output.shape[1:]), count_parameters(block)))

    hooks = [block.register_forward_hook(note) for block in names]
    with torch.inference_mode():
        net(photo)
    for hook in hooks:
        hook.remove()
    return rows


def draw_handout() -> Figure:
    figure = plt.figure(figsize=A4)
    figure.text(0.06, 0.965, "U-Net on one page", fontsize=20, weight="bold", va="center")
    figure.text(0.94, 0.965, "a photo in, a mask out", fontsize=12, color="0.35", va="center", ha="right")
    net = UNet(base_channels=16).eval()
    rows = shape_table(net, torch.zeros(1, 3, SIZE[1], SIZE[0]))
    _draw_net(figure.add_axes((0.06, 0.675, 0.88, 0.265)), net, rows)
    _write_moves(figure)
    _draw_table(figure.add_axes((0.06, 0.335, 0.88, 0.215)), rows, count_parameters(net))
    _draw_dice(figure)
    return figure


def _draw_net(axis: Axes, net: UNet, rows: list) -> None:
    """Draw the U of feature maps: blue on the way down, orange on the way up, skip connections dashed."""
    axis.set_axis_off()
    depth = net.depth
    maps = [out for _, _, out, _ in rows[:-1]]
    levels = [min(step, 2 * depth - step) for step in range(len(maps))]
    boxes = []
    for step, ((channels, height, width), level) in enumerate(zip(maps, levels, strict=True)):
        wide, tall = 0.18 + 0.1 * level, 0.9 * height / maps[0][1]
        x, y = 1.25 * step - wide / 2, -0.75 * level - tall / 2
        axis.add_patch(Rectangle((x, y), wide, tall, color=blue if step <= depth else orange))
        label = f"$\\bf{{{channels}}}$\n{width}x{height}"
        outside, side = (x - 0.08, "right") if step < depth else (x + wide + 0.08, "left")
        axis.text(outside, -0.75 * level - 0.04, label, ha=side, va="top", fontsize=8)
        boxes.append((1.25 * step, -0.75 * level, wide, tall))
    for (x, y, wide, _), (x2, y2, wide2, _) in pairwise(boxes):
        ends = (x + wide / 2 + 0.05, y), (x2 - wide2 / 2 - 0.05, y2)
        axis.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color="0.35", lw=1.3))
    for level in range(depth):
        (x, y, wide, _), (x2, _, wide2, _) = boxes[level], boxes[2 * depth - level]
        ends = (x + wide / 2 + 0.05, y), (x2 - wide2 / 2 - 0.05, y)
        look = {"arrowstyle": "-|>", "mutation_scale": 10, "linestyle": (0, (4, 3)), "color": "0.55"}
        axis.add_patch(FancyArrowPatch(*ends, **look))
    axis.text(0.625, -1.9, "down", color=blue, fontsize=11, weight="bold")
    axis.text(1.25 * 2 * depth - 0.625, -1.9, "up", color=orange, fontsize=11, weight="bold", ha="right")
    axis.text(1.25 * depth, 0.08, "skip", color="0.4", fontsize=11, ha="center")
    axis.set(xlim=(-0.9, 1.25 * 2 * depth + 0.9), ylim=(-0.75 * depth - 0.35, 0.5))


def _write_moves(figure: Figure) -> None:
    for line, (name, what) in enumerate(MOVES):
        figure.text(0.06, 0.652 - 0.02 * line, name, fontsize=10, weight="bold")
        figure.text(0.22, 0.652 - 0.02 * line, what, fontsize=10)


def _draw_table(axis: Axes, rows: list, total: int) -> None:
    axis.set_axis_off()
    title = f"UNet(base_channels=16) reads a photo of {SIZE[0]}x{SIZE[1]}; shapes are (channels, height, width)"
    axis.set_title(title, fontsize=10, weight="bold", loc="left")
    cells = [[name, str(before), str(after), f"{count:,}"] for name, before, after, count in rows]
    cells.append(["all", "", "", f"{total:,}"])
    widths = [0.16, 0.3, 0.3, 0.24]
    names = ["block", "in", "out", "parameters"]
    table = axis.table(cells, colLabels=names, colWidths=widths, bbox=(0, 0, 1, 1))
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("0.8")
        cell.visible_edges = "B"
        cell.get_text().set_ha("left" if column == 0 else "right")
        if row in (0, len(cells)):
            cell.get_text().set_weight("bold")


def _draw_dice(figure: Figure) -> None:
    model, config = load_pretrained("small")
    pair = list_pairs(ROOT / "data" / "sample", [TEST_FOLD])[2]
    photo, target = read_photo(pair.photo), read_mask(pair.mask)
    mask = predict_array(model, photo, config.size) > 0.5
    score = dice(confusion(torch.from_numpy(mask)[None], torch.from_numpy(target)[None])).item()
    titles = "photo", f"predicted mask: Dice {score:.3f}", "missed (blue), extra (orange)"
    pictures = photo, overlay(photo, mask), error_map(photo, mask, target)
    for column, (title, picture) in enumerate(zip(titles, pictures, strict=True)):
        axis = figure.add_axes((0.06 + 0.3 * column, 0.165, 0.28, 0.132))
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    for x, formula in zip((0.06, 0.43, 0.74), FORMULAS, strict=True):
        figure.text(x, 0.133, formula, fontsize=11, va="center")
    for line, note in enumerate(NOTES):
        figure.text(0.06, 0.092 - 0.019 * line, "•  " + note, fontsize=9.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "build" / "handout.pdf")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"Title": "U-Net on one page", "Author": "the carvana-unet authors", "CreationDate": None}
    draw_handout().savefig(options.out, metadata=about if options.out.suffix == ".pdf" else None, dpi=150)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
