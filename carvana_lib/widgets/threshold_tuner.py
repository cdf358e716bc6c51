"""The threshold tuner: drag the threshold, and mask, errors and scores follow."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..data import CarvanaDataset
from ..extras.thresholds import BINS, Histograms, Predictions, histogram, predict_dataset, threshold_index
from ..images import read_photo
from ..metrics import accuracy, boundary_error, dice, iou, outline_points, precision, recall
from ..pictures.overlays import BLUE, ORANGE, error_map, heat_map, outline, overlay
from ..prepare.cache import cache_folder, cache_key
from .tool import (
    BUTTON,
    LABEL,
    ROW,
    WIDE,
    Tool,
    car_names,
    encode,
    on_change,
    pick,
    picture_widget,
    shrink,
    with_number,
)

VIEWS = {
    "overlay": "Blue: car at this threshold. Orange: its outline.",
    "outline": "Orange: the outline of the car at this threshold.",
    "errors": "Blue: missed car. Orange: background taken for car.",
    "probability": "The probability of car: dark blue 0, grey 0.5, yellow 1.",
}
_SCORES = {"Dice": dice, "IoU": iou, "accuracy": accuracy, "precision": precision, "recall": recall}
_HELP = {
    "Dice": "2 x shared pixels / (pixels of the mask + pixels of the car)",
    "IoU": "shared pixels / pixels in the mask or in the car",
    "accuracy": "share of all pixels that are right",
    "precision": "share of the mask that is car",
    "recall": "share of the car that is in the mask",
    "boundary error": "mean distance between the outlines of mask and car",
}
_THUMBNAIL = 96  # pixels wide
_REST = 0.3  # seconds without a move, after which the list gets the scores at the new threshold


def kept_predictions(model: nn.Module, dataset: CarvanaDataset) -> Predictions:
    """`predict_dataset` of a `cached_dataset`, kept beside its decoded photos: the next time it takes a moment."""
    weights = b"".join(value.cpu().numpy().tobytes() for value in model.state_dict().values())
    name = f"levels-{hashlib.sha256(weights).hexdigest()[:16]}.npz"
    file = cache_folder() / cache_key(dataset.pairs, dataset.size) / name
    targets = [dataset.native_mask(index) for index in range(len(dataset))]
    try:
        with np.load(file) as kept:
            levels = [kept[part] for part in kept.files]
        counts = [histogram(*pair) for pair in zip(levels, targets, strict=True)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # not there, or damaged
        predictions = predict_dataset(model, dataset)
        with suppress(OSError, CarvanaError):  # a cache that may not be written is no reason to stop

            def save(part: Path) -> None:
                with open(part, "wb") as out:
                    np.savez_compressed(out, *predictions.levels)

            write_atomically(file, save)
        return predictions
    car, background = (np.stack(part) for part in zip(*counts, strict=True))
    return Predictions(dataset, levels, Histograms(car, background))


class CurvePicture:
    """A curve that matplotlib draws once. A marker moves on it as a line of pixels, without a new figure."""

    def __init__(self, x: np.ndarray, y: np.ndarray, title: str, xlabel: str, ylabel: str) -> None:
        figure, axis = plt.subplots(figsize=(4.6, 2.6), dpi=100, layout="constrained")
        axis.plot(x, y, color=np.array(BLUE) / 255)
        # Both ends of the curve fall to 0. With them in view, the interesting part would look flat.
        low, high = float(np.quantile(y, 0.1)), float(y.max())
        top = high + 0.1 * max(high - low, 1e-6)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(low, top))
        axis.grid(alpha=0.3)
        figure.canvas.draw()
        self.picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        # Where the axes end, in pixels; matplotlib counts rows from below.
        self.left, self.right = axis.bbox.x0, axis.bbox.x1
        self.top, self.bottom = (round(self.picture.shape[0] - edge) for edge in (axis.bbox.y1, axis.bbox.y0))
        plt.close(figure)

    def at(self, x: float) -> np.ndarray:
        """The picture with the marker at `x` in [0, 1]."""
        picture = self.picture.copy()
        column = round(self.left + x * (self.right - self.left))
        picture[self.top : self.bottom, max(0, column - 1) : column + 2] = ORANGE
        return picture


class ThresholdTuner(Tool):
    """Drag the threshold: mask, errors and scores of a photo follow, and those of the whole set.

    `predictions` are from `thresholds.predict_dataset`. The slider starts at `threshold`. "Save this threshold" writes
    the file `export_to`.
    """

    def __init__(
        self, predictions: Predictions, threshold: float = 0.5, export_to: str | Path = "runs/threshold.json"
    ) -> None:
        super().__init__()
        self.predictions, self.export_to = predictions, Path(export_to)
        self.pairs, self.histograms = predictions.dataset.pairs, predictions.histograms
        curve, self.best = self.histograms.curve(), self.histograms.best_threshold()
        self._set_dice = curve["dice"]
        self._curve = CurvePicture(curve["threshold"], curve["dice"], "The whole set", "threshold", "mean Dice")
        self.threshold = widgets.FloatSlider(threshold, min=0, max=1, step=0.01)
        self._names, self._timer = car_names(self.pairs), None
        self.photo = widgets.Dropdown(options=self._worst_first(), description="Photo", style=LABEL, layout=WIDE)
        self.view = widgets.ToggleButtons(options=list(VIEWS), tooltips=list(VIEWS.values()))
        self.view.style.button_width = "7.5em"
        self.curve = picture_widget("png", 460)
        self.caption, self.numbers, self.summary, self.message = (widgets.HTML() for _ in range(4))
        set_tip = "Score and order all photos"
        self.apply = widgets.Button(description="Apply to the whole set", tooltip=set_tip, layout=BUTTON)
        self.export = widgets.Button(description="Save this threshold", layout=BUTTON)
        self.thumbnails, self.views_text = widgets.Box(layout=ROW), widgets.HTML()
        self._photo: np.ndarray | None = None
        self._car: list[int] = []
        most_views = max(Counter(pair.car for pair in self.pairs).values())
        self._slots = [self._thumbnail(place) for place in range(most_views)]
        self.box = self._arrange()
        self._choose_photo()
        on_change(self.update, self.threshold, self.view)
        on_change(self._rescore_at_rest, self.threshold)
        self.photo.observe(self._choose_photo, "value")
        self.apply.on_click(lambda _: self.apply_to_set())
        self.export.on_click(lambda _: self.save_threshold())

    def _arrange(self) -> widgets.Widget:
        show = widgets.Label("Show", layout={"width": LABEL["description_width"], "justify_content": "flex-end"})
        wide, narrow = {"flex": "3 1 420px", "min_width": "300px"}, {"flex": "2 1 300px", "min_width": "300px"}
        left = widgets.VBox([self.picture, self.caption, self.numbers], layout=wide)
        buttons = widgets.Box([self.apply, self.export], layout=ROW)
        right = widgets.VBox([self.curve, self.summary, buttons], layout=narrow)
        rows = [with_number(self.threshold, "Threshold"), self.photo, widgets.Box([show, self.view], layout=ROW)]
        tool = widgets.Box([left, right], layout=ROW)
        return widgets.VBox([*rows, tool, self.message, self.views_text, self.thumbnails])

    def _thumbnail(self, place: int) -> widgets.VBox:
        button = widgets.Button(layout={"width": "auto"})
        button.on_click(lambda _: setattr(self.photo, "value", self._car[place]))
        return widgets.VBox(
            [picture_widget(width=_THUMBNAIL), button], layout={"width": f"{_THUMBNAIL + 4}px", "overflow": "hidden"}
        )

    def _worst_first(self) -> list[tuple[str, int]]:
        """Score all photos at the chosen threshold, in `self.dice`: label and index of each, the lowest Dice first."""
        self._scored = self.threshold.value
        self.dice = dice(self.histograms.counts(self._scored), "none").numpy()
        order = np.argsort(self.dice, kind="stable").tolist()
        at = f"at {self.threshold.value:.3g}: Dice"
        return [(f"{self._name(i)}, {at} {self.dice[i]:.4f}", i) for i in order]

    def _name(self, index: int) -> str:
        pair = self.pairs[index]
        name = self._names[pair.car]
        return pair.name if name == pair.car else f"{name}, view {pair.view}"

    def _choose_photo(self, _: object = None) -> None:
        """Show the chosen photo, and the views of its car below; if a file cannot be read, say why."""
        try:
            self._read(self.photo.value)
        except CarvanaError as error:
            # An exception would be shown nowhere, and the photo before would stay under the new name.
            self._photo = None
            self.picture.value, self.caption.value, self.numbers.value = b"", "", ""
            self.message.value = html.escape(str(error))
        self.update()

    def _read(self, index: int) -> None:
        self._target = self.predictions.dataset.native_mask(index)
        self._target_points = outline_points(self._target)
        self._photo = shrink(read_photo(self.pairs[index].photo))
        shape = self._photo.shape[:2]
        self._small_target = pick(self._target, shape)
        self._small_levels = pick(self.predictions.levels[index], shape)
        if index not in self._car:
            self._car = [i for i, pair in enumerate(self.pairs) if pair.car == self.pairs[index].car]
            self._show_views()

    def _show_views(self) -> None:
        """Fill the thumbnails with the views of the car, the lowest Dice first."""
        self._car.sort(key=lambda i: self.dice[i])
        at = f"at threshold {self._scored:.3g}"
        self.views_text.value = f"The views of this car, each with its Dice {at}, the lowest first:"
        self.thumbnails.children = self._slots[: len(self._car)]
        for index, slot in zip(self._car, self.thumbnails.children, strict=True):
            (picture, button), pair = slot.children, self.pairs[index]
            height, width = self.predictions.levels[index].shape
            picture.value = encode(read_photo(pair.photo, (_THUMBNAIL, max(1, round(_THUMBNAIL * height / width)))))
            button.description, button.tooltip = f"{pair.view:02d}: {self.dice[index]:.4f}", f"Show view {pair.view}"

    def update(self) -> None:
        """Show picture and numbers for the chosen threshold and photo, and mark the photo among its car's views."""
        for index, slot in zip(self._car, self.thumbnails.children, strict=True):
            slot.children[1].button_style = "info" if index == self.photo.value else ""
        if self._photo is None:
            return
        threshold = self.threshold.value
        self.show(self._view(self._small_levels > threshold_index(threshold)))
        self.caption.value = VIEWS[self.view.value]
        self.numbers.value = self._scores(threshold)
        self.curve.value = encode(self._curve.at(threshold), "PNG")
        now, half, best = (self._set_dice[threshold_index(t)] for t in (threshold, 0.5, self.best))
        best_one = f"The best is {best:.4f} at {self.best:.3f}; at 0.5 it is {best - half:.5f} lower"
        self.summary.value = f"Whole set: Dice <b>{now:.4f}</b> at {threshold:.3g}. {best_one}."

    def _view(self, mask: np.ndarray) -> np.ndarray:
        """The chosen one of VIEWS for a mask, bool (h, w), of the size that is shown: uint8 (h, w, 3)."""
        if self.view.value == "errors":
            return error_map(self._photo, mask, self._small_target)
        if self.view.value == "probability":
            return heat_map(self._photo, self._small_levels / BINS)
        return overlay(self._photo, mask) if self.view.value == "overlay" else outline(self._photo, mask)

    def _scores(self, threshold: float) -> str:
        """A table with all scores of the photo that is shown."""
        index = self.photo.value
        only = Histograms(self.histograms.car[[index]], self.histograms.background[[index]])
        error = boundary_error(self.predictions.mask(index, threshold), self._target, self._target_points)
        return _table(only.counts(threshold), {"boundary error": f"{error:.2f} px"})

    def _rescore_at_rest(self) -> None:
        """Order photos and views anew once the slider rests: at every move that would be too slow."""
        if self._timer:
            self._timer.cancel()
        try:
            self._timer = asyncio.get_running_loop().call_later(_REST, self.rescore)
        except RuntimeError:  # no kernel
            self.rescore()

    def rescore(self) -> None:
        """Give list and views their scores at the chosen threshold, the lowest first."""
        shown = self.photo.value
        # With new options a Dropdown chooses the first one. The photo that is shown should stay.
        self.photo.unobserve(self._choose_photo, "value")
        self.photo.options = self._worst_first()
        self.photo.value = shown
        self.photo.observe(self._choose_photo, "value")
        if self._car:
            self._show_views()
        self.update()

    def apply_to_set(self) -> None:
        """Show the scores of the whole set at the chosen threshold, and order photos and views by theirs."""
        self.rescore()
        threshold = self.threshold.value
        counts = self.histograms.counts(threshold)
        self.message.value = f"All {len(counts)} photos at threshold {threshold:.3g}: {_table(counts)}"

    def save_threshold(self) -> None:
        """Write threshold and mean Dice as JSON."""
        threshold = round(self.threshold.value, 3)
        values = {"threshold": threshold, "dice": float(self._set_dice[threshold_index(threshold)])}
        try:
            write_atomically(self.export_to, lambda file: file.write_text(json.dumps(values) + "\n"))
        except Exception as error:
            self.message.value = f"Not saved: {html.escape(str(error))}"
        else:
            command = f"carvana predict --threshold {threshold:g} --out masks PHOTO"
            self.message.value = f"Saved in {html.escape(str(self.export_to))}. To use it: <code>{command}</code>"


def _table(counts: torch.Tensor, more: dict[str, str] | None = None) -> str:
    """An HTML table of the scores of `counts`, (N, 4), and `more`. It sets no colours: it follows the page's theme."""
    values = {name: f"{score(counts).item():.4f}" for name, score in _SCORES.items()} | (more or {})
    style = 'style="text-align: left; padding: 0 1em 0 0; font-weight: {}; white-space: nowrap"'
    head = '<th scope="col" title="{}" {}>{}</th>'
    names = "".join(head.format(_HELP[name], style.format("normal"), html.escape(name)) for name in values)
    cells = "".join(f"<td {style.format('bold')}>{html.escape(value)}</td>" for value in values.values())
    return f'<table style="line-height: 1.5"><tr>{names}</tr><tr>{cells}</tr></table>'
