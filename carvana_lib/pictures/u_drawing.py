"""The U, drawn from the shapes that the net itself computes: if its code were wrong, the figure would be too."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..unet import UNet
from .overlays import BLUE, ORANGE

_BLUE, _ORANGE = ([value / 255 for value in colour] for colour in (BLUE, ORANGE))


@contextmanager
def record_levels(model: UNet) -> Iterator[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Record what each level of `model` reads and writes while it runs inside the `with` block.

    The keys are "down 0" to "down <depth>", "up <depth - 1>" to "up 0", and "head", in the order of computation.
    Each value is the input and the output, (N, C, H, W), of the level's double convolution, or of the head's 1x1
    convolution. So an "up" level reads the skip connection and the map that came up, side by side.
    """
    blocks = {f"down {level}": block for level, block in enumerate([model.stem, *model.down])}
    blocks |= {f"up {model.depth - 1 - step}": block.conv for step, block in enumerate(model.up)}
    blocks["head"] = model.head
    levels = {}

    def record(name, block, inputs, output):
        levels[name] = inputs[0], output

    hooks = [block.register_forward_hook(partial(record, name)) for name, block in blocks.items()]
    try:
        yield levels
    finally:
        for hook in hooks:
            hook.remove()


def draw_unet(model: UNet, size: tuple[int, int], title: str = "The U-Net, drawn by itself") -> Figure:
    """The U of any `UNet`, read from a forward pass: a box for each feature map, an arrow for each move.

    A box is as wide as it has channels and as high as its map. Beside it stand the channels, and height x width.
    Where a box is half blue, the blue half came over the skip connection. PyTorch's `meta` device computes shapes but
    no numbers, so any net and size takes only a moment, and `model` stays as it is.

    Args:
        size: (width, height) of the photo that the net reads.

    Raises:
        ValueError: a net with `padding="valid"` cannot use this size.
    """
    net, (width, height) = copy.deepcopy(model).to("meta").eval(), size
    channels = net.stem[0].in_channels // net.patch**2
    with record_levels(net) as levels, torch.inference_mode():
        net(torch.empty(1, channels, height, width, device="meta"))
    boxes = _place([(read.shape[1:], written.shape[1:]) for read, written in levels.values()])
    figure, axis = plt.subplots(figsize=(9, 5.8), layout="constrained")
    down, up, head = boxes[: net.depth + 1], boxes[net.depth + 1 : -1], boxes[-1][1]
    for read, written in down:
        _draw_box(axis, read, [_BLUE], above=False)
        _draw_box(axis, written, [_BLUE], above=True)
    for read, written in up:
        _draw_box(axis, read, [_BLUE, _ORANGE], above=True)
        _draw_box(axis, written, [_ORANGE], above=False)
    _draw_box(axis, head, [_ORANGE], above=True)
    _draw_arrows(axis, "convolve twice (last: 1x1)", "0.3", [(read.at(1, 0), out.at(0, 0)) for read, out in boxes])
    pools = [(fine.at(0.5, -1), coarse.at(0.5, 1)) for (_, fine), (coarse, _) in pairwise(down)]
    _draw_arrows(axis, "down: max pool", _BLUE, pools)
    raised = [(coarse.at(0.75, 1), fine.at(0.75, -1)) for (_, coarse), (fine, _) in pairwise([down[-1], *up])]
    _draw_arrows(axis, "up: twice the size", _ORANGE, raised)
    skips = [(left.at(1, 0), right.at(0, 0)) for (_, left), (right, _) in zip(down, reversed(up), strict=False)]
    _draw_arrows(axis, "skip: copy", "0.55", skips, "--")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    axis.set_axis_off()
    axis.set_title(title)
    return figure


class _Box(NamedTuple):
    left: float  # in channels of the first level
    middle: float  # in heights of the first level, upwards
    shape: Sequence[int]  # channels, height, width
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the box: x from 0 (left) to 1 (right), y from -1 (bottom) to 1 (top)."""
        return self.left + x * self.width, self.middle + y * self.height / 2


def _place(shapes: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[tuple[_Box, _Box]]:
    """The boxes of what each level reads and writes. The head reads the box that the last level wrote."""
    depth = len(shapes) // 2 - 1
    base, tall = shapes[0][1][0], shapes[0][0][1]
    middles, top = [], 0.0
    for read, _ in shapes[: depth + 1]:
        middles.append(top - read[1] / tall / 2)
        top -= read[1] / tall + 0.16
    boxes, left = [], 0.0
    for step, (read, written) in enumerate(shapes):
        middle = middles[max(0, min(step, 2 * depth - step))]
        before = _Box(left, middle, read, read[0] / base, read[1] / tall)
        left += before.width + 2
        boxes.append((before, _Box(left, middle, written, written[0] / base, written[1] / tall)))
    return boxes


def _draw_box(axis: Axes, box: _Box, colours: Sequence[Sequence[float]], above: bool) -> None:
    """The box, in stripes of equal width, with its shape above or below."""
    for number, colour in enumerate(colours):
        corner, width = box.at(number / len(colours), -1), box.width / len(colours)
        axis.add_patch(Rectangle(corner, width, box.height, color=colour, linewidth=0.6))
    text = "$\\bf{{{}}}$\n{} x {}".format(*box.shape)
    place = {"xytext": (0, 2 if above else -2), "textcoords": "offset points", "va": "bottom" if above else "top"}
    axis.annotate(text, box.at(0.5, 1 if above else -1), ha="center", fontsize=7.5, **place)


def _draw_arrows(axis: Axes, name: str, colour: Sequence[float] | str, arrows: Sequence, line: str = "-") -> None:
    """Arrows from point to point, and their entry in the legend."""
    look = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.5, "color": colour, "linestyle": line}
    for tail, tip in arrows:
        axis.annotate("", tip, tail, arrowprops=look)
    axis.plot([], [], color=colour, linestyle=line, label=name)
