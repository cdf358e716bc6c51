"""Two handouts of one page: U-Net with its shapes, and masks and scores for lessons without a net.

    python -m tools.classkit.handout [--out build]

Every shape and count is taken from the library's net while it reads a photo. So the page cannot disagree with the code.
The pictures are from the rendered sample.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys

import torch
from matplotlib.figure import Figure

from carvana_lib import UNet, confusion, dice, list_pairs, load_pretrained, read_mask, read_photo
from carvana_lib.cli.options import place
from carvana_lib.data import TEST_FOLD
from carvana_lib.pictures.figures import picture_grid
from carvana_lib.pictures.overlays import error_map, overlay
from carvana_lib.pictures.u_drawing import draw_unet
from carvana_lib.prediction import predict_array
from carvana_lib.unet import count_parameters

from .. import ROOT
from .printed import render, web_page

SIZE = (240, 160)  # width and height of the photo in the shape table


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


def handouts() -> dict[str, str]:
    """Both pages, as HTML, by the names of their files."""
    net = UNet(base_channels=16).eval()
    rows = shape_table(net, torch.zeros(1, 3, SIZE[1], SIZE[0]))
    model, config = load_pretrained("small")
    pair = list_pairs(ROOT / "data" / "sample", [TEST_FOLD])[2]
    photo, target = read_photo(pair.photo), read_mask(pair.mask)
    mask = predict_array(model, photo, config.size) > 0.5
    score = dice(confusion(torch.from_numpy(mask)[None], torch.from_numpy(target)[None])).item()
    titles = ["photo", f"predicted mask: Dice {score:.3f}", "missed (blue), extra (orange)"]
    pictures = [photo, overlay(photo, mask), error_map(photo, mask, target)]
    masks = _embedded(picture_grid(pictures, titles, 3, width=9.5))
    drawing = _embedded(draw_unet(net, SIZE, ""))
    values = {"rows": rows, "total": count_parameters(net), "size": SIZE, "masks": masks, "drawing": drawing}
    return {name: web_page(render(f"{name}.md", **values), small=True) for name in ("handout_unet", "handout_masks")}


def _embedded(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, dpi=200)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "build")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, page in handouts().items():
        (out / f"{name}.html").write_text(page, encoding="utf-8")
        print(out / f"{name}.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
