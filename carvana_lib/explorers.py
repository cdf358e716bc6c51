"""Tools to look around with: a car on its turntable, augmentation, and what each level of the net sees."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import nn

from .data import CarvanaDataset
from .images import read_mask, read_photo
from .plotting import heat_map, overlay
from .prediction import as_batch, predict_logits
from .transforms import Augment
from .widgets import Tool, encode, shrink

_LABEL = {"description_width": "7em"}
_WIDE = {"width": "98%"}


def _image() -> widgets.Image:
    return widgets.Image(format="jpeg", layout={"width": "98%", "max_width": "720px"})


class Turntable(Tool):
    """The views of one car on a slider, with its mask laid over them.

    Args:
        dataset: photos to choose from, shown at their own size.
    """

    def __init__(self, dataset: CarvanaDataset) -> None:
        self.pairs = dataset.pairs
        cars = sorted({pair.car for pair in self.pairs})
        self.car = widgets.Dropdown(options=cars, description="Car", style=_LABEL, layout=_WIDE)
        self.view = widgets.SelectionSlider(
            options=self._views(cars[0]), description="View", style=_LABEL, layout=_WIDE
        )
        self.opacity = widgets.FloatSlider(
            0.45, min=0, max=1, step=0.05, description="Mask", style=_LABEL, layout=_WIDE
        )
        self.picture = _image()
        self.box = widgets.VBox([self.car, self.view, self.opacity, self.picture])
        self._read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.car.observe(self._change_car, "value")
        for control in (self.view, self.opacity):
            control.observe(lambda _: self.update(), "value")
        self.update()

    def _views(self, car: str) -> list[int]:
        return [pair.view for pair in self.pairs if pair.car == car]

    def _change_car(self, _: object) -> None:
        self._read.clear()
        view = self.view.value
        self.view.options = self._views(self.car.value)
        self.view.value = view if view in self.view.options else self.view.options[0]
        self.update()

    def update(self) -> None:
        """Show the chosen view."""
        pair = next(p for p in self.pairs if (p.car, p.view) == (self.car.value, self.view.value))
        if pair.name not in self._read:
            photo = shrink(read_photo(pair.photo))
            self._read[pair.name] = photo, read_mask(pair.mask, photo.shape[1::-1]) > 127
        photo, mask = self._read[pair.name]
        picture = overlay(photo, mask, self.opacity.value) if self.opacity.value else photo
        self.picture.value = encode(picture)
        self._last = picture

    def still(self) -> np.ndarray:
        return self._last


class AugmentationExplorer(Tool):
    """Sliders for each change of `transforms.Augment`, photo and mask side by side: is the mask still right?

    Args:
        dataset: photos and masks, at the size the net sees.
        index: of the photo.
    """

    # The most that each slider does; Augment is told these, and the slider's place as its random number.
    LIMITS = Augment(flip=0.5, rotate=30, scale=0.5, shift=0.3, colour=0.6)

    def __init__(self, dataset: CarvanaDataset, index: int = 0) -> None:
        image, mask = dataset[index]
        self.image, self.mask = image[None].float() / 255, mask[None]
        self.flip = widgets.Checkbox(False, description="flip left and right", indent=False)
        names = ("rotate", "scale", "shift right", "shift down", "brightness", "contrast", "saturation")
        self.sliders = {
            name: widgets.FloatSlider(0, min=-1, max=1, step=0.05, description=name, style=_LABEL, layout=_WIDE)
            for name in names
        }
        self.both = widgets.Checkbox(True, description="move the mask with the photo", indent=False)
        self.reset = widgets.Button(description="Start again")
        self.picture, self.text = _image(), widgets.HTML()
        controls = widgets.VBox(
            [self.flip, *self.sliders.values(), self.both, self.reset], layout={"flex": "1 1 260px"}
        )
        shown = widgets.VBox([self.picture, self.text], layout={"flex": "2 1 420px"})
        self.box = widgets.Box([controls, shown], layout={"display": "flex", "flex_flow": "row wrap"})
        for control in (self.flip, self.both, *self.sliders.values()):
            control.observe(lambda _: self.update(), "value")
        self.reset.on_click(lambda _: self.start_again())
        self.update()

    def changed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Photo float (1, 3, H, W) and mask (1, 1, H, W), changed as the sliders say."""
        places = [(1 + slider.value) / 2 for slider in self.sliders.values()]
        draws = torch.tensor([[0.0 if self.flip.value else 1.0, *places, 0.0]])
        return self.LIMITS.apply(self.image, self.mask, draws)

    def start_again(self) -> None:
        """All sliders to the middle."""
        for slider in self.sliders.values():
            slider.value = 0
        self.flip.value, self.both.value = False, True

    def update(self) -> None:
        """Show photo with outline, and mask, as changed."""
        image, mask = self.changed()
        if not self.both.value:
            mask = self.mask
        photo = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        grey = (mask[0, 0].numpy() * 255).round().astype(np.uint8)
        self._last = np.concatenate([overlay(photo, grey > 127, 0.25), np.repeat(grey[..., None], 3, 2)], axis=1)
        self.picture.value = encode(self._last)
        right = (
            "The mask moved with the photo." if self.both.value else "The mask stayed where it was: is it still right?"
        )
        self.text.value = f"Left: photo with the mask's outline. Right: the mask. {right}"

    def still(self) -> np.ndarray:
        return self._last


class FeatureViewer(Tool):
    """What each level of a U-Net makes of a photo: choose a level and a channel.

    Args:
        model: a U-Net in evaluation mode.
        photo: uint8 (H, W, 3).
        size: (width, height) the net was trained at.
    """

    def __init__(self, model: nn.Module, photo: np.ndarray, size: tuple[int, int]) -> None:
        self.photo = shrink(photo)
        self.maps = feature_maps(model, photo, size)
        self.level = widgets.Dropdown(options=list(self.maps), description="Level", style=_LABEL, layout=_WIDE)
        self.channel = widgets.IntSlider(0, min=0, max=1, description="Channel", style=_LABEL, layout=_WIDE)
        self.picture, self.text = _image(), widgets.HTML()
        self.box = widgets.VBox([self.level, self.channel, self.picture, self.text])
        self.level.observe(lambda _: self._change_level(), "value")
        self.channel.observe(lambda _: self.update(), "value")
        self._change_level()

    def _change_level(self) -> None:
        self.channel.max = len(self.maps[self.level.value]) - 1
        self.update()

    def update(self) -> None:
        """Show the chosen channel beside the photo."""
        maps = self.maps[self.level.value]
        channel = maps[self.channel.value]
        low, high = float(channel.min()), float(channel.max())
        scaled = np.round((channel - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
        # Nearest neighbour: a coarse level should look coarse.
        shape = self.photo.shape[1::-1]
        large = np.asarray(Image.fromarray(scaled).resize(shape, Image.Resampling.NEAREST))
        self._last = np.concatenate([self.photo, heat_map(np.zeros_like(self.photo), large / 255)], axis=1)
        self.picture.value = encode(self._last)
        self.text.value = (
            f"{len(maps)} channels of {channel.shape[1]} x {channel.shape[0]}; "
            f"channel {self.channel.value} runs from {low:.2f} to {high:.2f}."
        )

    def still(self) -> np.ndarray:
        return self._last


@torch.inference_mode()
def feature_maps(model: nn.Module, photo: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The output of every level of a U-Net, float32 (channels, height, width) each, from top down and up again."""
    blocks = {"down 0 (first)": model.stem}
    blocks |= {f"down {number}": block for number, block in enumerate(model.down, 1)}
    blocks |= {f"up {len(model.up) - 1 - number}": block for number, block in enumerate(model.up)}
    maps: dict[str, np.ndarray] = {}
    hooks = [
        block.register_forward_hook(lambda _, __, out, name=name: maps.update({name: out[0].float().cpu().numpy()}))
        for name, block in blocks.items()
    ]
    try:
        predict_logits(model, as_batch(photo, size).to(next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return maps
