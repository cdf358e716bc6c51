"""Tools to look around with: a car on its turntable, augmentation, and what each level of the net sees."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import nn

from ..data import CarvanaDataset
from ..images import read_mask, read_photo
from ..pictures.overlays import cividis, overlay
from ..prediction import as_batch, predict_logits
from ..transforms import Augment
from .tool import LABEL, ROW, Tool, WIDE, encode, picture_widget, shrink, with_number


class Turntable(Tool):
    """The views of one car on a slider, with its mask laid over them.

    Args:
        dataset: photos to choose from, shown at their own size.
    """

    def __init__(self, dataset: CarvanaDataset) -> None:
        self.pairs = dataset.pairs
        cars = sorted({pair.car for pair in self.pairs})
        self.car = widgets.Dropdown(options=cars, description="Car", style=LABEL, layout=WIDE)
        self.turn = widgets.IntSlider(1, min=1, max=len(self._views(cars[0])))
        self.opacity = widgets.FloatSlider(0.45, min=0, max=1, step=0.05)
        self.picture, self.caption = picture_widget(), widgets.HTML()
        rows = [self.car, with_number(self.turn, "Turn"), with_number(self.opacity, "Mask opacity")]
        self.box = widgets.VBox([*rows, self.picture, self.caption])
        self._read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.car.observe(self._change_car, "value")
        for control in (self.turn, self.opacity):
            control.observe(lambda _: self.update(), "value")
        self.update()

    def _views(self, car: str) -> list[int]:
        """Indices of the car's photos, by view."""
        chosen = [index for index, pair in enumerate(self.pairs) if pair.car == car]
        return sorted(chosen, key=lambda index: self.pairs[index].view)

    def _change_car(self, _: object) -> None:
        self._read.clear()
        self.turn.max = len(self._views(self.car.value))
        self.update()

    def update(self) -> None:
        """Show the chosen view."""
        pair = self.pairs[self._views(self.car.value)[self.turn.value - 1]]
        if pair.name not in self._read:
            photo = shrink(read_photo(pair.photo))
            self._read[pair.name] = photo, read_mask(pair.mask, photo.shape[1::-1]) > 127
        photo, mask = self._read[pair.name]
        self._last = overlay(photo, mask, self.opacity.value) if self.opacity.value else photo
        self.picture.value = encode(self._last)
        self.caption.value = f"{pair.name}: view {pair.view}, {mask.mean():.1%} of the photo is car."

    def still(self) -> np.ndarray:
        return self._last


class AugmentationExplorer(Tool):
    """Sliders for each change of `transforms.Augment`, photo and mask side by side: is the mask still right?

    Args:
        dataset: photos and masks, at the size the net sees.
        index: of the photo.
    """

    # The most that each slider does; Augment is told these, and the sliders' places as its random numbers.
    LIMITS = Augment(flip=0.5, rotate=30, scale=0.5, shift=0.3, colour=0.6)
    # Name and end of each slider: degrees to the left, then percent.
    SLIDERS = (
        ("rotate, \N{DEGREE SIGN}", 30),
        ("scale, %", 50),
        ("shift right, %", 30),
        ("shift down, %", 30),
        ("brightness, %", 60),
        ("contrast, %", 60),
        ("saturation, %", 60),
    )

    def __init__(self, dataset: CarvanaDataset, index: int = 0) -> None:
        image, mask = dataset[index]
        self.image, self.mask = image[None].float() / 255, mask[None]
        self.flip = widgets.Checkbox(False, description="flip left and right", indent=False)
        self.sliders = {
            name.split(",")[0]: widgets.IntSlider(0, min=-most, max=most, step=1) for name, most in self.SLIDERS
        }
        self.both = widgets.Checkbox(True, description="move the mask with the photo", indent=False)
        self.reset = widgets.Button(description="Start again")
        self.picture, self.text = picture_widget(), widgets.HTML()
        rows = [
            with_number(slider, name) for slider, (name, _) in zip(self.sliders.values(), self.SLIDERS, strict=True)
        ]
        controls = widgets.VBox([self.flip, *rows, self.both, self.reset], layout={"flex": "1 1 320px"})
        shown = widgets.VBox([self.picture, self.text], layout={"flex": "2 1 420px"})
        self.box = widgets.Box([controls, shown], layout=ROW)
        for control in (self.flip, self.both, *self.sliders.values()):
            control.observe(lambda _: self.update(), "value")
        self.reset.on_click(lambda _: self.start_again())
        self.update()

    def changed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Photo float (1, 3, H, W) and mask (1, 1, H, W), changed as the sliders say."""
        turn, scale, right, down, *colours = (slider.value / slider.max for slider in self.sliders.values())
        # Augment says where a pixel comes from, and mirrors last: what comes from the left moves to the right.
        facing = -1 if self.flip.value else 1
        places = [(1 + place) / 2 for place in (facing * turn, scale, -facing * right, -down, *colours)]
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
        soft = (mask[0, 0].numpy() * 255).round().astype(np.uint8)
        both = [overlay(photo, soft > 127, 0.25), np.repeat(soft[..., None], 3, 2)]
        self._last = shrink(np.concatenate(both, axis=1))
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
        self.level = widgets.Dropdown(options=list(self.maps), description="Level", style=LABEL, layout=WIDE)
        self.channel = widgets.IntSlider(0, min=0, max=1)
        self.picture, self.text = picture_widget(), widgets.HTML()
        self.box = widgets.VBox([self.level, with_number(self.channel, "Channel"), self.picture, self.text])
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
        self._last = np.concatenate([self.photo, cividis(large / 255)], axis=1)
        self.picture.value = encode(self._last)
        self.text.value = (
            f"Left: the photo. Right: channel {self.channel.value} of {len(maps)}, {channel.shape[1]} x "
            f"{channel.shape[0]} values from {low:.2f} (dark blue) to {high:.2f} (yellow)."
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
