"""Figures with matplotlib: pictures in a grid, the best and the worst masks, the curves of a training."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from ..base.arrays import check_photo, check_probability
from ..base.classes import IGNORED
from ..base.files import write_atomically
from ..data import CarvanaDataset
from ..evaluation import Evaluation
from ..images import read_photo
from ..prediction import logit, predict_array, predict_labels
from .class_overlays import class_overlay
from .overlays import BLUE, ORANGE, error_map, overlay, tint


def plot_extremes(
    model: nn.Module,
    dataset: CarvanaDataset,
    evaluation: Evaluation,
    count: int = 3,
    threshold: float = 0.5,
    tta: bool = False,
) -> Figure:
    """The `count` photos with the highest and with the lowest Dice: mask, errors, and the place with most of them.

    `evaluation` is of all or some photos of `dataset`, with the same `threshold` and `tta`.
    """
    logit(threshold)  # an error unless it is a probability
    index_of = {pair.name: index for index, pair in enumerate(dataset.pairs)}
    order = np.argsort(evaluation.dice)[::-1]
    count = min(count, len(order) // 2 or 1)
    chosen = [*order[:count], *order[len(order) - count :]][: len(order)]
    size = 9, 1 + 17 / max(2, len(chosen))
    figure, axes = plt.subplots(3, len(chosen), figsize=size, squeeze=False, layout="constrained")
    for column, row in enumerate(chosen):
        name = evaluation.names[row]
        photo, target = read_photo(dataset.pairs[index_of[name]].photo), dataset.native_mask(index_of[name])
        kind = "best" if column < count else "worst"
        axes[0, column].set_title(f"{kind}: Dice {evaluation.dice[row]:.4f}\n{name}", fontsize=9.5)
        if dataset.classes:
            labels = predict_labels(model, photo, dataset.size, tta)
            wrong = (labels != target) & (target != IGNORED)
            shown, errors = class_overlay(photo, labels), tint(photo, wrong, ORANGE, 1.0)
        else:
            mask = predict_array(model, photo, dataset.size, tta) > threshold
            shown, wrong, errors = overlay(photo, mask), mask != target, error_map(photo, mask, target)
        rows, columns = _worst_place(wrong)
        axes[0, column].imshow(shown)
        axes[1, column].imshow(errors)
        frame = (columns.start, rows.start), columns.stop - columns.start, rows.stop - rows.start
        axes[1, column].add_patch(plt.Rectangle(*frame, fill=False))
        axes[2, column].imshow(errors[rows, columns])
    for axis in axes.flat:
        axis.set_xticks([]), axis.set_yticks([])
    axes[0, 0].set_ylabel("predicted\nmask")
    axes[1, 0].set_ylabel("orange:\nwrong class" if dataset.classes else "missed: blue\nextra: orange")
    axes[2, 0].set_ylabel("most\nerrors")
    figure.suptitle("The best and the worst masks")
    return figure


def _worst_place(wrong: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the window, a fifth of the sides of `wrong` (H, W), bool, with the most True pixels."""
    height, width = (max(1, side // 5) for side in wrong.shape)
    sums = np.pad(wrong.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # of all pixels above and to the left
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    return slice(top, top + height), slice(left, left + width)


def plot_history(history: Sequence[dict[str, float]]) -> Figure:
    """Loss and validation Dice after each epoch, side by side."""
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    lines = (("loss", "Training loss", BLUE), ("dice", "Validation Dice", ORANGE))
    for axis, (name, title, colour) in zip(axes, lines, strict=True):
        axis.plot(epochs, [row[name] for row in history], marker="o", color=np.array(colour) / 255)
        axis.set(title=title, xlabel="epoch", ylabel=name)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    return figure


def plot_confusion(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Which class was taken for which: the share of each row's pixels, in each cell as colour and as number.

    `matrix` holds pixels (C, C), rows true and columns predicted, as `Evaluation.summary()["confusion"]`; `names` are
    the C classes. A class without pixels has an empty row. Other shapes raise a ValueError.
    """
    if np.shape(matrix) != (len(names), len(names)):
        raise ValueError(f"a confusion matrix of {len(names)} classes is square, not {np.shape(matrix)}")
    total = np.sum(matrix, 1, keepdims=True)
    shares = np.divide(matrix, total, out=np.full(np.shape(matrix), np.nan), where=total > 0)
    side = 2 + 0.8 * len(names)
    figure, axis = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    picture = axis.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if total[row]:
            look = {"ha": "center", "va": "center", "color": "black" if share > 0.5 else "white"}
            axis.text(column, row, f"{share:.3f}", **look)
    axis.set_xticks(range(len(names)), names, rotation=30), axis.set_yticks(range(len(names)), names)
    axis.set(title="What each class was taken for", xlabel="predicted class", ylabel="true class")
    figure.colorbar(picture, ax=axis, label="share of the true class's pixels")
    return figure


def picture_grid(
    pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = 4, title: str | None = None, width: float = 9
) -> Figure:
    """Pictures without axes, `columns` in a row, each with one of `titles`; the figure is `width` inches wide.

    A picture is uint8 (H, W, 3), or grey (H, W): bool, whole numbers from 0 to 255, or float in [0, 1]. `title` stands
    over the whole figure. Other arrays, and not one title for each picture, raise a ValueError.
    """
    if len(pictures) != len(titles) or not len(titles) or columns < 1:
        raise ValueError(f"a grid needs a title for each picture: {len(pictures)} pictures, {len(titles)} titles")
    for picture in pictures:
        _check_picture(picture)
    rows = -(-len(pictures) // columns)
    picture_height = width / columns * pictures[0].shape[0] / pictures[0].shape[1]
    size = (width, rows * (picture_height + 0.35) + (0.3 if title else 0))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, name in zip(axes.flat, pictures, titles, strict=False):  # the last row may have free places
        # Without both ends given, matplotlib would draw an even grey as black.
        white = 255 if picture.dtype.kind in "iu" else 1
        axis.imshow(picture, **({"cmap": "gray", "vmin": 0, "vmax": white} if picture.ndim == 2 else {}))
        axis.set_title(name, fontsize=10)
    if title:
        figure.suptitle(title)
    return figure


def _check_picture(picture: np.ndarray) -> None:
    """ValueError unless `picture_grid` can show it as it is meant."""
    if not isinstance(picture, np.ndarray) or picture.ndim != 2:
        check_photo(picture)
    elif picture.dtype.kind in "iu":
        if picture.min() < 0 or picture.max() > 255:
            raise ValueError(f"whole numbers lie between 0 and 255, these from {picture.min()} to {picture.max()}")
    elif picture.dtype != bool:
        check_probability(picture)


def show(figure: Figure, alt: str, **place: object) -> None:
    """Display `figure` in a notebook, with the text `alt` for people who cannot see it, and close it.

    It is shown 100 pixels wide for each inch and drawn finer, for sharp screens. `place` is what IPython's `display`
    takes: `display_id="a"`, and later `display_id="a", update=True` to put another figure in its place.
    """
    from IPython.display import display

    buffer, has_pictures = io.BytesIO(), any(axis.images for axis in figure.axes)
    figure.savefig(buffer, format="png", dpi=150 if has_pictures else 200)
    look = {"alt": alt, "width": round(100 * figure.get_figwidth()), "smallest_type": smallest_type(figure)}
    plt.close(figure)
    # As IPython's `Image(alt=...)` does it, which IPython 7, Colab's, does not know yet.
    png, words = base64.b64encode(buffer.getvalue()).decode(), "<IPython.core.display.Image object>"
    display({"image/png": png, "text/plain": words}, metadata={"image/png": look}, raw=True, **place)


def smallest_type(figure: Figure) -> float:
    """The smallest type drawn in `figure`, exponents too, in pixels where an inch has 100; 0 without any text."""
    points, renderer = [], RendererAgg(*figure.bbox.size, figure.dpi)
    # A figure also has texts that are not drawn, such as ticks outside its axes. Text and font are arguments 3 and 4.
    renderer.draw_text = lambda *drawn, ismath=False, **_: points.append(
        drawn[4].get_size_in_points() * (0.7 if ismath and set("^_") & set(drawn[3]) else 1)
    )
    figure.draw(renderer)
    return round(min(points, default=0) * 100 / 72, 1)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Display a table in a notebook: column names, then rows; the first column to the left, all others to the right.

    A row with more or fewer cells than columns raises a ValueError.
    """
    from IPython.display import Markdown, display

    if wrong := next((row for row in rows if len(row) != len(columns)), None):
        raise ValueError(f"a row of {len(wrong)} cells in a table of {len(columns)} columns: {wrong}")
    lines = [columns, [":--"] + ["--:"] * (len(columns) - 1), *rows]
    display(Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` in the format of the file's ending, and close it. Raises CarvanaError: it cannot be written."""
    path = Path(path)
    kind = path.suffix[1:].lower() or "png"
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=200, format=kind))
    plt.close(figure)
