"""The threshold tuner, and what all interactive tools share: ipywidgets wired to pure functions.

Pictures are JPEG or PNG bytes in `widgets.Image`, since drawing with matplotlib at every move is
what makes sliders crawl. While a move is worked on, ipywidgets holds back all but the latest one.
"""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from .files import write_atomically
from .images import read_photo, resize
from .metrics import accuracy, boundary_error, dice, iou, precision, recall
from .plotting import BLUE, ORANGE, error_map, heat_map, outline, overlay
from .thresholds import BINS, Predictions, threshold_index

SHOWN_WIDTH = 720  # pixels of the largest picture shown; scores are counted at the mask's own size
VIEWS = ("overlay", "outline", "errors", "probability")
_SCORES = {"Dice": dice, "IoU": iou, "accuracy": accuracy, "precision": precision, "recall": recall}
_LABEL = {"description_width": "6em"}


class Tool:
    """An interactive tool. Where nothing can run (GitHub, a printed page) a still picture stands in its place."""

    box: widgets.Widget

    def still(self) -> np.ndarray:
        """What the tool shows at first, uint8 (H, W, 3)."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, object], dict[str, object]]:
        name = type(self).__name__
        data = dict(self.box._repr_mimebundle_(**kwargs))
        data["text/plain"] = f"{name}: run this cell in JupyterLab, Colab or Kaggle to use it."
        data["image/png"] = base64.b64encode(encode(self.still(), "PNG")).decode()
        alt = f"Still picture of {name}, which is interactive when this cell is run."
        return data, {"image/png": {"alt": alt}}


def encode(picture: np.ndarray, kind: str = "JPEG") -> bytes:
    """uint8 (H, W, 3 or 4) as bytes of a "JPEG" or "PNG" file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 1}))
    return buffer.getvalue()


def shrink(picture: np.ndarray, width: int = SHOWN_WIDTH) -> np.ndarray:
    """uint8 (H, W, 3) averaged down to at most `width`; smaller pictures are left alone."""
    height, wide = picture.shape[:2]
    if wide <= width:
        return picture
    return np.asarray(resize(Image.fromarray(picture), (width, max(1, round(height * width / wide)))))


def pick(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) sampled at the middle of each pixel of a picture of `shape` = (height, width)."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, values.shape, strict=True)
    )
    return values[rows[:, None], columns]


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
        self.picture = _figure_pixels(figure)
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


def _figure_pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


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
        histograms = predictions.histograms
        curve = histograms.curve()
        self.best = histograms.best_threshold()
        self._set_dice = curve["dice"]
        self._curve = CurvePicture(curve["threshold"], curve["dice"], "The whole set", "threshold", "mean Dice")
        scores = dice(histograms.counts(threshold), "none").numpy()
        worst_first = np.argsort(scores, kind="stable").tolist()
        names = [pair.name for pair in predictions.dataset.pairs]
        self.threshold = widgets.FloatSlider(
            threshold, min=0, max=1, step=0.01, description="Threshold", style=_LABEL, layout={"width": "98%"}
        )
        self.photo = widgets.Dropdown(
            options=[(f"{names[i]}, Dice {scores[i]:.4f}", i) for i in worst_first],
            description="Photo",
            style=_LABEL,
            layout={"width": "98%"},
        )
        self.view = widgets.ToggleButtons(
            options=VIEWS, description="Show", style={**_LABEL, "button_width": "8em"}, layout={"width": "98%"}
        )
        self.picture = widgets.Image(format="jpeg", layout={"width": "98%", "max_width": f"{SHOWN_WIDTH}px"})
        self.curve = widgets.Image(format="png", layout={"width": "98%", "max_width": "460px"})
        self.numbers, self.summary, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.apply = widgets.Button(description="Score the whole set", layout={"width": "12em"})
        self.export = widgets.Button(description="Save this threshold", layout={"width": "12em"})
        self.thumbnails = widgets.Box(layout={"flex_flow": "row wrap"})
        self.box = self._arrange()
        self._load()
        self.threshold.observe(lambda _: self.update(), "value")
        self.view.observe(lambda _: self.update(), "value")
        self.photo.observe(lambda _: self._load(), "value")
        self.apply.on_click(lambda _: self.score_set())
        self.export.on_click(lambda _: self.save_threshold())

    def _arrange(self) -> widgets.Widget:
        left = widgets.VBox([self.picture, self.numbers], layout={"flex": "3 1 420px", "min_width": "320px"})
        right = widgets.VBox(
            [self.curve, self.summary, widgets.HBox([self.apply, self.export], layout={"flex_flow": "row wrap"})],
            layout={"flex": "2 1 320px", "min_width": "300px"},
        )
        panes = widgets.Box([left, right], layout={"display": "flex", "flex_flow": "row wrap"})
        return widgets.VBox([self.threshold, self.photo, self.view, panes, self.message, self.thumbnails])

    def _load(self) -> None:
        """Read the chosen photo and show the other views of its car below."""
        index = self.photo.value
        pairs = self.predictions.dataset.pairs
        self._target = self.predictions.dataset.native_mask(index)
        self._photo = shrink(read_photo(pairs[index].photo))
        shape = self._photo.shape[:2]
        self._small_target = pick(self._target, shape)
        self._small_levels = pick(self.predictions.levels[index], shape)
        if index not in getattr(self, "_car", ()):
            self._car = [i for i, pair in enumerate(pairs) if pair.car == pairs[index].car]
            self.thumbnails.children = [self._thumbnail(i) for i in self._car]
        self.update()

    def _thumbnail(self, index: int) -> widgets.Widget:
        pair = self.predictions.dataset.pairs[index]
        picture = widgets.Image(
            value=encode(shrink(read_photo(pair.photo), 88)), format="jpeg", layout={"width": "84px"}
        )
        button = widgets.Button(
            description=f"view {pair.view}", tooltip=f"Show {pair.name}", layout={"width": "84px", "margin": "0 2px"}
        )
        button.on_click(lambda _: setattr(self.photo, "value", index))
        return widgets.VBox([picture, button])

    def update(self) -> None:
        """Picture and numbers for the threshold and photo now chosen."""
        index, threshold = self.photo.value, self.threshold.value
        small_mask = self._small_levels > threshold_index(threshold)
        self.picture.value = encode(
            view_picture(self.view.value, self._photo, small_mask, self._small_target, self._small_levels / BINS)
        )
        self.numbers.value = _table(
            {**self.scores(index, threshold), "boundary error": self.boundary(index, threshold)}
        )
        self.curve.value = encode(self._curve.at(threshold), "PNG")
        now, half, best = (self._set_dice[threshold_index(t)] for t in (threshold, 0.5, self.best))
        self.summary.value = (
            f"Whole set: Dice <b>{now:.4f}</b> at {threshold:.2f}; best {best:.4f} at {self.best:.3f}; "
            f"0.5 loses {best - half:.5f}."
        )

    def scores(self, index: int, threshold: float) -> dict[str, str]:
        """Dice, IoU, accuracy, precision and recall of one photo, as text."""
        counts = self.predictions.histograms.counts(threshold)[index : index + 1]
        return {name: f"{score(counts).item():.4f}" for name, score in _SCORES.items()}

    def boundary(self, index: int, threshold: float) -> str:
        """The photo's boundary error, as text; `index` must be the photo that is shown."""
        return f"{boundary_error(self.predictions.mask(index, threshold), self._target):.2f} px"

    def score_set(self) -> None:
        """Show the whole set's scores at the threshold now chosen."""
        counts = self.predictions.histograms.counts(self.threshold.value)
        rows = {name: f"{score(counts).item():.4f}" for name, score in _SCORES.items()}
        self.message.value = f"All {len(counts)} photos at threshold {self.threshold.value:.2f}: {_table(rows)}"

    def save_threshold(self) -> None:
        """Write threshold and mean Dice as JSON."""
        threshold = round(self.threshold.value, 3)
        values = {"threshold": threshold, "dice": float(self._set_dice[threshold_index(threshold)])}
        try:
            write_atomically(self.export_to, lambda file: file.write_text(json.dumps(values) + "\n"))
            self.message.value = f"Saved {html.escape(str(values))} to {html.escape(str(self.export_to))}."
        except Exception as error:
            self.message.value = f"Not saved: {html.escape(str(error))}"

    def still(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.picture.value)))


def _table(values: dict[str, str]) -> str:
    cells = "".join(
        f'<td style="padding: 0 1em 0 0">{html.escape(name)} <b>{html.escape(value)}</b></td>'
        for name, value in values.items()
    )
    return f'<table style="line-height: 1.6"><tr>{cells}</tr></table>'
