"""Tools to look around with: a car on its turntable, augmentation, and what each level of the net sees."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from ..base.arrays import as_image
from ..data import CarvanaDataset, Pair
from ..images import read_photo
from ..pictures.overlays import ORANGE, cividis, overlay
from ..pictures.u_drawing import record_levels
from ..prediction import as_batch, predict_logits
from ..transforms import Augment, Draws
from ..unet import UNet
from .tool import LABEL, ROW, WIDE, Tool, car_names, encode, on_change, picture_widget, shrink, with_number


class Turntable(Tool):
    """The views of one car of `dataset` on a slider, with the mask laid over the photo."""

    def __init__(self, dataset: CarvanaDataset) -> None:
        super().__init__()
        self.pairs = sorted(dataset.pairs, key=lambda pair: (pair.car, pair.view))
        cars = [(name, car) for car, name in sorted(car_names(self.pairs).items())]
        self.car = widgets.Dropdown(options=cars, description="Car", style=LABEL, layout=WIDE)
        self.turn = widgets.IntSlider(1, min=1, max=len(self._views()))
        self.opacity = widgets.FloatSlider(0.45, min=0, max=1, step=0.05)
        self.caption = widgets.HTML()
        rows = [self.car, with_number(self.turn, "Turn"), with_number(self.opacity, "Mask opacity")]
        self.box = widgets.VBox([*rows, self.picture, self.caption])
        self._read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        on_change(self._change_car, self.car)
        on_change(self.update, self.turn, self.opacity)
        self.update()

    def _views(self) -> list[Pair]:
        """Photos and masks of the chosen car, by view."""
        return [pair for pair in self.pairs if pair.car == self.car.value]

    def _change_car(self) -> None:
        self._read.clear()
        self.turn.max = len(self._views())
        self.update()

    def update(self) -> None:
        """Show the chosen view."""
        pair = self._views()[self.turn.value - 1]
        if pair.name not in self._read:
            photo = shrink(read_photo(pair.photo))
            mask = pair.read_mask(photo.shape[1::-1])
            self._read[pair.name] = photo, (255 - mask[0] if pair.classes else mask) > 127  # all but the background
        photo, mask = self._read[pair.name]
        self.show(overlay(photo, mask, self.opacity.value) if self.opacity.value else photo)
        self.caption.value = f"{pair.name}: view {pair.view}, {mask.mean():.1%} of the photo is car."


class AugmentationExplorer(Tool):
    """Sliders for each change of `transforms.Augment`, photo and mask side by side: is the mask still right?

    They show photo number `index` of `dataset`, at the size the net sees.
    """

    # `Augment` with the ends of the sliders as its limits: a slider's place then is one of its random numbers.
    LIMITS = Augment(flip=0.5, rotate=30, scale=0.5, shift=0.3, colour=0.6)
    # The field of `Draws` that a slider sets; its name, and its end in degrees (to the left) or percent.
    SLIDERS = (
        ("turn", "rotate, \N{DEGREE SIGN}", 30),
        ("size", "scale, %", 50),
        ("right", "shift right, %", 30),
        ("down", "shift down, %", 30),
        ("brightness", "brightness, %", 60),
        ("contrast", "contrast, %", 60),
        ("saturation", "saturation, %", 60),
    )

    SIDE = 560  # pixels: the width of photo and of mask

    def __init__(self, dataset: CarvanaDataset, index: int = 0) -> None:
        super().__init__()
        image, mask = dataset[index]
        self.image, self.mask = image[None].float() / 255, mask[None]
        self.flip = widgets.Checkbox(False, description="flip left and right", indent=False)
        self.sliders = {field: widgets.IntSlider(0, min=-end, max=end) for field, _, end in self.SLIDERS}
        self.both = widgets.Checkbox(True, description="move the mask with the photo", indent=False)
        self.reset = widgets.Button(description="Start again")
        self.text = widgets.HTML()
        rows = [with_number(self.sliders[field], name) for field, name, _ in self.SLIDERS]
        for row in rows:
            row.layout = {"flex": "1 1 320px"}
        self.picture = picture_widget(width=2 * self.SIDE)
        switches = widgets.Box([self.flip, self.both, self.reset], layout=ROW)
        self.box = widgets.VBox([self.picture, self.text, switches, widgets.Box(rows, layout=ROW)])
        on_change(self.update, self.flip, self.both, *self.sliders.values())
        self.reset.on_click(lambda _: self.start_again())
        self.update()

    def changed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Photo float (1, 3, H, W) and mask (1, 1, H, W), changed as the sliders say."""
        change = {field: slider.value / slider.max for field, slider in self.sliders.items()}
        # `Augment` computes where each pixel of the result comes from. So the photo moves against `right` and `down`,
        # and the flip, which comes last, turns left and right round.
        mirror = -1 if self.flip.value else 1
        change |= {"turn": mirror * change["turn"], "right": -mirror * change["right"], "down": -change["down"]}
        draws = Draws(flip=1.0 - self.flip.value, warp=0.0, **{name: (1 + part) / 2 for name, part in change.items()})
        return self.LIMITS.apply(self.image, self.mask, torch.tensor([draws]))

    def start_again(self) -> None:
        """Put all sliders into the middle."""
        for slider in self.sliders.values():
            slider.value = 0
        self.flip.value, self.both.value = False, True

    def update(self) -> None:
        """Show the changed photo with the outline of the mask, and the mask."""
        image, moved_mask = self.changed()
        mask = moved_mask if self.both.value else self.mask
        photo = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        soft = (mask[0, 0].numpy() * 255).round().astype(np.uint8)
        both = overlay(photo, soft > 127, 0.25), np.dstack([soft] * 3)
        self.show(np.concatenate([shrink(part, self.SIDE) for part in both], axis=1))
        moved = "The mask moved with the photo." if self.both.value else "The mask stayed: is it still right?"
        self.text.value = f"Left: photo with the mask's outline. Right: the mask. {moved}"


class FeatureViewer(Tool):
    """What each level of a U-Net makes of a photo: a wall of all its channels, and one of them large.

    `model` is in evaluation mode, `photo` is as `predict_array` takes it, and `size` (width, height) what the net was
    trained on.
    """

    COLUMNS = 16  # of the wall

    def __init__(self, model: UNet, photo: np.ndarray, size: tuple[int, int]) -> None:
        super().__init__()
        self.photo = shrink(np.asarray(as_image(photo)))
        with record_levels(model) as levels:
            predict_logits(model, as_batch(photo, size).to(next(model.parameters()).device))
        # What each level writes: float32 (channels, height, width).
        self.maps = {name: written[0].float().cpu().numpy() for name, (_, written) in levels.items() if name != "head"}
        self.level = widgets.Dropdown(options=list(self.maps), description="Level", style=LABEL, layout=WIDE)
        self.channel = widgets.IntSlider(0, min=0, max=1)
        self.text, self.wall = widgets.HTML(), picture_widget(width=960)
        self.box = widgets.VBox([self.level, self.wall, with_number(self.channel, "Channel"), self.picture, self.text])
        on_change(self._change_level, self.level)
        on_change(self.update, self.channel)
        self._change_level()

    def _change_level(self) -> None:
        maps = self.maps[self.level.value]
        self.channel.max = len(maps) - 1
        width = 960 // self.COLUMNS - 2  # pixels, without the gap
        size = width, max(1, round(width * self.photo.shape[0] / self.photo.shape[1]))
        tiles = [np.pad(_coloured(channel, size), ((1, 1), (1, 1), (0, 0))) for channel in maps]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % self.COLUMNS)
        rows = [np.concatenate(tiles[k : k + self.COLUMNS], axis=1) for k in range(0, len(tiles), self.COLUMNS)]
        self._tile, self._wall = tiles[0].shape[:2], np.concatenate(rows)
        self.update()

    def update(self) -> None:
        """Show the chosen channel beside the photo, and frame it on the wall."""
        maps, wall = self.maps[self.level.value], self._wall.copy()
        number, channel = self.channel.value, maps[self.channel.value]
        height, width = self._tile
        top, left = number // self.COLUMNS * height, number % self.COLUMNS * width
        tile = wall[top : top + height, left : left + width]
        inside = tile[3:-3, 3:-3].copy()
        tile[:] = ORANGE
        tile[3:-3, 3:-3] = inside
        self.wall.value = encode(wall)
        self.show(np.concatenate([self.photo, _coloured(channel, self.photo.shape[1::-1])], axis=1))
        low, high = float(channel.min()), float(channel.max())
        values = f"{channel.shape[1]} x {channel.shape[0]} values from {low:.2f} (dark blue) to {high:.2f} (yellow)"
        self.text.value = f"Left: the photo. Right: channel {number} of {len(maps)}, framed above, {values}."


def _coloured(channel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A channel, float (h, w), from its lowest value in dark blue to its highest in yellow: uint8 of `size`."""
    low, high = float(channel.min()), float(channel.max())
    scaled = np.round((channel - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    # Nearest neighbour, because a coarse level should look coarse.
    return cividis(np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.NEAREST)) / 255)
