"""The U, drawn from the shapes that the net itself computes: if its code were wrong, the figure would be too."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

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
    hooks = [
        block.register_forward_hook(lambda _, read, written, name=name: levels.update({name: (read[0], written)}))
        for name, block in blocks.items()
    ]
    try:
        yield levels
    finally:
        for hook in hooks:
            hook.remove()


def draw_unet(model: UNet, size: tuple[int, int], title: str = "The U-Net, drawn by itself") -> Figure:
    """The U of any `UNet`, read from a forward pass: a box for each feature map, an arrow for each move.

    A box is as wide as it has channels and as high as its map. Beside it stand the channels, and height x width.
    Where a box is half blue, the blue half came over the skip connection. PyTorch's `meta` device computes shapes but
    no numbers, so any net and size takes only a moment, and `model` stays as it is. `size` is (width, height) of the
    photo; a size that a net with `padding="valid"` cannot use raises a ValueError.
    """
    net, depth, (width, height) = copy.deepcopy(model).to("meta").eval(), model.depth, size
    with record_levels(net) as levels, torch.inference_mode():
        net(torch.empty(1, net.stem[0].in_channels // net.patch**2, height, width, device="meta"))
    figure, axis = plt.subplots(figsize=(9, 5.8), layout="constrained")
    across, below = net.stem[0].out_channels * 2**depth / 5, round(0.16 * height / net.patch)  # channels, pixels: gaps
    reads, writes, middles, left, top = [], [], [], 0, 0
    for step, (read, written) in enumerate(levels.values()):
        is_down, is_head = step <= depth, step > 2 * depth
        if is_down:
            middles.append(top - read.shape[2] / 2)
            top -= read.shape[2] + below
        middle = middles[max(0, min(step, 2 * depth - step))]
        colours = [_BLUE] if is_down else [_BLUE, _ORANGE]
        # The head reads the box that the last level wrote.
        reads.append(writes[-1] if is_head else _draw_box(axis, read, left, middle, colours, above=not is_down))
        left = reads[-1].x1 + across
        writes.append(_draw_box(axis, written, left, middle, colours[-1:], above=step < depth or is_head))
    _draw_moves(axis, reads, writes, depth)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    axis.set_axis_off()
    axis.set_title(title)
    return figure


def _draw_box(axis: Axes, shown: torch.Tensor, left: float, middle: float, colours: Sequence, above: bool) -> Bbox:
    """A box for a map (N, C, H, W), in stripes of equal width, with its shape above or below."""
    channels, height, width = shown.shape[1:]
    box, stripe = Bbox.from_bounds(left, middle - height / 2, channels, height), channels / len(colours)
    for number, colour in enumerate(colours):
        axis.add_patch(Rectangle((left + number * stripe, box.y0), stripe, height, color=colour, linewidth=0.6))
    end, gap, side = (1, 2, "bottom") if above else (0, -2, "top")
    place = {"xytext": (0, gap), "textcoords": "offset points", "va": side, "ha": "center", "fontsize": 9.5}
    axis.annotate(f"$\\bf{{{channels}}}$\n{width}x{height}", box.p0 + box.size * (0.5, end), **place)
    return box


def _draw_moves(axis: Axes, reads: list[Bbox], writes: list[Bbox], depth: int) -> None:
    """An arrow for each move from box to box, and one line of the legend for each kind of move."""
    steps, skips = list(zip(writes, reads[1:-1], strict=False)), zip(writes, reads[-2:depth:-1], strict=False)
    # Colour and line; the pairs of boxes; where an arrow leaves the first box and meets the second, as shares of each
    # box's width (0: left, 1: right) and height (0: bottom, 1: top).
    moves = {
        "convolve twice (last: 1x1)": ("0.3", "-", zip(reads, writes, strict=True), (1, 0.5), (0, 0.5)),
        "down: max pool": (_BLUE, "-", steps[:depth], (0.5, 0), (0.5, 1)),
        "up: twice the size": (_ORANGE, "-", steps[depth:], (0.75, 1), (0.75, 0)),
        "skip: copy": ("0.55", "--", skips, (1, 0.5), (0, 0.5)),
    }
    for name, (colour, line, pairs, leave, meet) in moves.items():
        look = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.5, "color": colour, "linestyle": line}
        for first, second in pairs:
            axis.annotate("", second.p0 + second.size * meet, first.p0 + first.size * leave, arrowprops=look)
        axis.plot([], [], color=colour, linestyle=line, label=name)
