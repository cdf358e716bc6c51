"""The threshold tuner: drag the threshold, and mask, errors and scores follow."""

from __future__ import annotations

import html
import io
import json
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..extras.thresholds import BINS, Histograms, Predictions, threshold_index
from ..images import read_photo
from ..metrics import accuracy, boundary_error, dice, iou, outline_points, precision, recall
from ..pictures.overlays import BLUE, ORANGE, error_map, heat_map, outline, overlay
from .tool import LABEL, ROW, Tool, WIDE, encode, pick, picture_widget, shrink, with_number

VIEWS = {
    "overlay": "Blue: what the threshold makes car. Orange: its outline.",
    "outline": "Orange: the outline of what the threshold makes car.",
    "errors": "Blue: car that is missed. Orange: background taken for car.",
    "probability": "How probable car is: dark blue 0, grey 0.5, yellow 1.",
}
_SCORES = {"Dice": dice, "IoU": iou, "accuracy": accuracy, "precision": precision, "recall": recall}
_THUMBNAIL = 96  # pixels wide


def view_picture(
    view: str, photo: np.ndarray, mask: np.ndarray, target: np.ndarray, probability: np.ndarray
) -> np.ndarray:
    """One of VIEWS as a picture, uint8 (h, w, 3).

    Args:
        photo: uint8 (h, w, 3), at the size shown.
        mask, target: bool (h, w).
        probability: float (h, w) in [0, 1].
    """
    if view == "errors":
        return error_map(photo, mask, target)
    if view == "probability":
        return heat_map(photo, probability)
    return overlay(photo, mask) if view == "overlay" else outline(photo, mask)


class CurvePicture:
    """A curve drawn once, on which a marker moves: a line of pixels instead of a new figure."""

    def __init__(self, x: np.ndarray, y: np.ndarray, title: str, xlabel: str, ylabel: str) -> None:
        figure, axis = plt.subplots(figsize=(4.6, 2.6), dpi=100, layout="constrained")
        axis.plot(x, y, color=np.array(BLUE) / 255)
        # The ends fall to zero and would press the interesting part flat.
        low, high = float(np.quantile(y, 0.1)), float(y.max())
        limits = (low, high + 0.1 * max(high - low, 1e-6))
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=limits)
        axis.grid(alpha=0.3)
        figure.canvas.draw()
        self.picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        (self.left, low), (self.right, high) = axis.transData.transform(
            [(0, axis.get_ylim()[0]), (1, axis.get_ylim()[1])]
        )
        self.top, self.bottom = (round(self.picture.shape[0] - edge) for edge in (high, low))
        plt.close(figure)

    def at(self, x: float) -> np.ndarray:
        """The picture with the marker at `x` in [0, 1]."""
        picture = self.picture.copy()
        column = round(self.left + x * (self.right - self.left))
        picture[self.top : self.bottom, max(0, column - 1) : column + 2] = ORANGE
        return picture


class ThresholdTuner(Tool):
    """Drag the threshold: mask, errors and scores of a photo, and those of the whole set.

    Args:
        predictions: of `thresholds.predict_dataset`.
        threshold: where the slider starts.
        export_to: the file that "Save this threshold" writes.
    """

    def __init__(
        self, predictions: Predictions, threshold: float = 0.5, export_to: str | Path = "runs/threshold.json"
    ) -> None:
        self.predictions, self.export_to = predictions, Path(export_to)
        curve = predictions.histograms.curve()
        self.best = predictions.histograms.best_threshold()
        self._set_dice = curve["dice"]
        self._curve = CurvePicture(curve["threshold"], curve["dice"], "The whole set", "threshold", "mean Dice")
        self.threshold = widgets.FloatSlider(threshold, min=0, max=1, step=0.01)
        self.photo = widgets.Dropdown(options=self._worst_first(), description="Photo", style=LABEL, layout=WIDE)
        self.view = widgets.ToggleButtons(
            options=list(VIEWS), tooltips=list(VIEWS.values()), style={"button_width": "7.5em"}
        )
        self.picture, self.curve = picture_widget(), picture_widget("png", 460)
        self.caption, self.numbers, self.summary, self.message = (widgets.HTML() for _ in range(4))
        self.apply = widgets.Button(
            description="Apply to the whole set", tooltip="Score and order all photos", layout={"width": "14em"}
        )
        self.export = widgets.Button(description="Save this threshold", layout={"width": "14em"})
        self.thumbnails = widgets.Box(layout=ROW)
        self._photo: np.ndarray | None = None
        self._car: list[int] = []
        self._slots: list[widgets.VBox] = []
        self.box = self._arrange()
        self._load()
        self.threshold.observe(lambda _: self.update(), "value")
        self.view.observe(lambda _: self.update(), "value")
        self.photo.observe(self._load, "value")
        self.apply.on_click(lambda _: self.apply_to_set())
        self.export.on_click(lambda _: self.save_threshold())

    def _arrange(self) -> widgets.Widget:
        show = widgets.Label("Show", layout={"width": LABEL["description_width"], "justify_content": "flex-end"})
        left = widgets.VBox(
            [self.picture, self.caption, self.numbers], layout={"flex": "3 1 420px", "min_width": "300px"}
        )
        right = widgets.VBox(
            [self.curve, self.summary, widgets.Box([self.apply, self.export], layout=ROW)],
            layout={"flex": "2 1 300px", "min_width": "300px"},
        )
        rows = [with_number(self.threshold, "Threshold"), self.photo, widgets.Box([show, self.view], layout=ROW)]
        car = widgets.HTML("The views of this car, worst first, each with its Dice:")
        return widgets.VBox([*rows, widgets.Box([left, right], layout=ROW), self.message, car, self.thumbnails])

    def _worst_first(self) -> list[tuple[str, int]]:
        """Label and index of every photo, and their Dice in `self.dice`, at the threshold now chosen."""
        self.dice = dice(self.predictions.histograms.counts(self.threshold.value), "none").numpy()
        pairs = self.predictions.dataset.pairs
        order = np.argsort(self.dice, kind="stable").tolist()
        return [(f"{pairs[i].name}, Dice {self.dice[i]:.4f}", i) for i in order]

    def _load(self, _: object = None) -> None:
        """Show the chosen photo, and the views of its car below; a sentence if it cannot be read any more."""
        try:
            self._read(self.photo.value)
        except CarvanaError as error:
            # Raised, it would show nowhere, and the picture before would stay under the new name.
            self._photo = None
            self.picture.value, self.caption.value, self.numbers.value = b"", "", ""
            self.message.value = html.escape(str(error))
        self.update()

    def _read(self, index: int) -> None:
        pairs = self.predictions.dataset.pairs
        self._target = self.predictions.dataset.native_mask(index)
        self._target_points = outline_points(self._target)
        self._photo = shrink(read_photo(pairs[index].photo))
        shape = self._photo.shape[:2]
        self._small_target = pick(self._target, shape)
        self._small_levels = pick(self.predictions.levels[index], shape)
        if index not in self._car:
            self._car = [i for i, pair in enumerate(pairs) if pair.car == pairs[index].car]
            self._show_views()
        self._mark_view()

    def _show_views(self) -> None:
        """Fill the thumbnails with the views of the car; there are never more of them than a car has views."""
        self._car.sort(key=lambda i: self.dice[i])
        while len(self._slots) < len(self._car):
            self._slots.append(self._thumbnail(len(self._slots)))
        self.thumbnails.children = self._slots[: len(self._car)]
        for index, box in zip(self._car, self.thumbnails.children, strict=True):
            (picture, button), pair = box.children, self.predictions.dataset.pairs[index]
            height, width = self.predictions.levels[index].shape
            picture.value = encode(read_photo(pair.photo, (_THUMBNAIL, max(1, round(_THUMBNAIL * height / width)))))
            button.description, button.tooltip = f"{pair.view:02d}: {self.dice[index]:.4f}", f"Show view {pair.view}"

    def _thumbnail(self, place: int) -> widgets.Widget:
        button = widgets.Button(layout={"width": "98%"})
        button.on_click(lambda _: setattr(self.photo, "value", self._car[place]))
        return widgets.VBox([picture_widget(width=_THUMBNAIL), button], layout={"width": f"{_THUMBNAIL + 4}px"})

    def _mark_view(self) -> None:
        for index, box in zip(self._car, self.thumbnails.children, strict=True):
            box.children[1].button_style = "info" if index == self.photo.value else ""

    def update(self) -> None:
        """Picture and numbers for the threshold and photo now chosen."""
        if self._photo is None:
            return
        threshold = self.threshold.value
        small_mask = self._small_levels > threshold_index(threshold)
        self.picture.value = encode(
            view_picture(self.view.value, self._photo, small_mask, self._small_target, self._small_levels / BINS)
        )
        self.caption.value = VIEWS[self.view.value]
        self.numbers.value = _table(self.scores(self.photo.value, threshold))
        self.curve.value = encode(self._curve.at(threshold), "PNG")
        now, half, best = (self._set_dice[threshold_index(t)] for t in (threshold, 0.5, self.best))
        self.summary.value = (
            f"Whole set: Dice <b>{now:.4f}</b> at {threshold:.3g}; best {best:.4f} at {self.best:.3f}; "
            f"0.5 loses {best - half:.5f}."
        )

    def scores(self, index: int, threshold: float) -> dict[str, str]:
        """All scores of a photo, as text; `index` must be the photo that is shown."""
        histograms = self.predictions.histograms
        one = Histograms(histograms.car[index : index + 1], histograms.background[index : index + 1])
        error = boundary_error(self.predictions.mask(index, threshold), self._target, self._target_points)
        return {**_as_text(one.counts(threshold)), "boundary error": f"{error:.2f} px"}

    def apply_to_set(self) -> None:
        """Show the whole set's scores at the threshold now chosen, and order photos and views by theirs."""
        threshold, shown = self.threshold.value, self.photo.value
        # New options would choose the first photo; the one that is shown stays.
        self.photo.unobserve(self._load, "value")
        self.photo.options = self._worst_first()
        self.photo.value = shown
        self.photo.observe(self._load, "value")
        self._show_views()
        self._mark_view()
        counts = self.predictions.histograms.counts(threshold)
        self.message.value = f"All {len(counts)} photos at threshold {threshold:.3g}: {_table(_as_text(counts))}"

    def save_threshold(self) -> None:
        """Write threshold and mean Dice as JSON."""
        threshold = round(self.threshold.value, 3)
        values = {"threshold": threshold, "dice": float(self._set_dice[threshold_index(threshold)])}
        try:
            write_atomically(self.export_to, lambda file: file.write_text(json.dumps(values) + "\n"))
        except Exception as error:
            self.message.value = f"Not saved: {html.escape(str(error))}"
        else:
            path = html.escape(str(self.export_to))
            self.message.value = (
                f"Saved in {path}. To use it: <code>carvana predict --threshold {threshold:g} --out masks PHOTO</code>"
            )

    def still(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.picture.value)))


def _as_text(counts: torch.Tensor) -> dict[str, str]:
    return {name: f"{score(counts).item():.4f}" for name, score in _SCORES.items()}


def _table(values: dict[str, str]) -> str:
    """Names above, values below; no colours, so that the page's theme gives them."""
    style = 'style="text-align: left; padding: 0 1em 0 0; font-weight: {}; white-space: nowrap"'
    names = "".join(f'<th scope="col" {style.format("normal")}>{html.escape(name)}</th>' for name in values)
    cells = "".join(f"<td {style.format('bold')}>{html.escape(value)}</td>" for value in values.values())
    return f'<table style="line-height: 1.5"><tr>{names}</tr><tr>{cells}</tr></table>'
