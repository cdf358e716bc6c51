"""Pictures: overlays as arrays, figures with matplotlib. Colours are Okabe and Ito's, safe for colour-blind eyes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from .data import CarvanaDataset
from .evaluation import Evaluation
from .files import write_atomically
from .images import read_photo
from .metrics import erode
from .prediction import predict_array

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
_CIVIDIS = np.round(plt.get_cmap("cividis")(np.arange(256))[:, :3] * 255).astype(np.uint8)


def tint(photo: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    """Photo uint8 (H, W, 3) with `colour` laid over the True pixels of `where` (H, W)."""
    # Looked up, not computed for each pixel: tools draw this at every move of a slider.
    table = np.round((1 - opacity) * np.arange(256)[:, None] + opacity * np.array(colour)).astype(np.uint8)
    out = photo.copy()
    pixels, chosen = out.reshape(-1, 3), np.flatnonzero(where)
    pixels[chosen] = table[pixels[chosen], np.arange(3)]
    return out


def overlay(photo: np.ndarray, mask: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """The masked car tinted blue with an orange outline: uint8 (H, W, 3)."""
    inside = mask
    # One pixel in 480, so that the outline can be seen on a photo of any size.
    for _ in range(max(1, round(mask.shape[1] / 480))):
        inside = erode(inside)
    tinted = tint(photo, mask, BLUE, opacity) if opacity else photo
    return tint(tinted, mask & ~inside, ORANGE, 1.0)


def outline(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Only the mask's outline, in orange: uint8 (H, W, 3)."""
    return overlay(photo, mask, opacity=0.0)


def grey(photo: np.ndarray) -> np.ndarray:
    """The mean of red, green and blue, rounded down: uint8 (H, W, 3) -> uint8 (H, W, 1)."""
    # Ten times faster than photo.mean(2).
    total = photo[..., 0].astype(np.uint16) + photo[..., 1] + photo[..., 2]
    return (total // 3).astype(np.uint8)[..., None]


def cividis(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], float (H, W), as colours from dark blue over grey to yellow: uint8 (H, W, 3)."""
    return np.take(_CIVIDIS, np.round(values * 255).astype(np.uint8), axis=0)


def heat_map(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The probability float (H, W) in [0, 1] as colours (cividis) over the photo in grey: uint8 (H, W, 3)."""
    colours = cividis(probability)
    return colours - colours // 4 + grey(photo) // 4


def error_map(photo: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Grey photo, uint8 (H, W, 3): car pixels that were missed in blue, extra ones in orange."""
    pale = np.repeat(grey(photo) // 2 + 96, 3, axis=2)
    return tint(tint(pale, target & ~prediction, BLUE, 1.0), prediction & ~target, ORANGE, 1.0)


def plot_extremes(
    model: nn.Module,
    dataset: CarvanaDataset,
    evaluation: Evaluation,
    count: int = 3,
    threshold: float = 0.5,
    tta: bool = False,
) -> Figure:
    """The photos with the highest and the lowest Dice: mask above, errors below.

    Args:
        evaluation: of all or some photos of `dataset`, at this `threshold` and `tta`.
    """
    index_of = {pair.name: index for index, pair in enumerate(dataset.pairs)}
    order = np.argsort(evaluation.dice)[::-1]
    count = min(count, len(order) // 2 or 1)
    chosen = [*order[:count], *order[len(order) - count :]][: len(order)]
    figure, axes = plt.subplots(2, len(chosen), figsize=(3 * len(chosen), 4.8), squeeze=False, layout="constrained")
    for column, row in enumerate(chosen):
        name = evaluation.names[row]
        photo, target = read_photo(dataset.pairs[index_of[name]].photo), dataset.native_mask(index_of[name])
        mask = predict_array(model, photo, dataset.size, tta) > threshold
        kind = "best" if column < count else "worst"
        axes[0, column].set_title(f"{kind}: Dice {evaluation.dice[row]:.4f}\n{name}", fontsize=9)
        axes[0, column].imshow(overlay(photo, mask))
        axes[1, column].imshow(error_map(photo, mask, target))
    for axis in axes.flat:
        axis.set_xticks([]), axis.set_yticks([])
    axes[0, 0].set_ylabel("predicted mask")
    axes[1, 0].set_ylabel("missed (blue), extra (orange)")
    figure.suptitle("The best and the worst masks")
    return figure


def plot_history(history: Sequence[dict[str, float]]) -> Figure:
    """Loss and validation Dice after each epoch, side by side."""
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, name, colour in ((axes[0], "loss", BLUE), (axes[1], "dice", ORANGE)):
        axis.plot(epochs, [row[name] for row in history], marker="o", color=np.array(colour) / 255)
        axis.set(title={"loss": "Training loss", "dice": "Validation Dice"}[name], xlabel="epoch", ylabel=name)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    return figure


def picture_grid(
    pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = 4, title: str | None = None, width: float = 9
) -> Figure:
    """Pictures side by side without axes: each uint8 (H, W, 3), or (H, W) in greys: bool, uint8, or float in [0, 1].

    Args:
        titles: one a picture.
        columns: pictures in a row.
        title: of the whole figure.
        width: of the figure, in inches.
    """
    rows = -(-len(pictures) // columns)
    height, wide = pictures[0].shape[:2]
    cell = width / columns
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, rows * (cell * height / wide + 0.35) + (0.3 if title else 0)),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, name in zip(axes.flat, pictures, titles, strict=False):
        # Without its ends, an even grey would be stretched to black.
        white = 255 if picture.dtype == np.uint8 else 1
        axis.imshow(picture, **({"cmap": "gray", "vmin": 0, "vmax": white} if picture.ndim == 2 else {}))
        axis.set_title(name, fontsize=9)
    if title:
        figure.suptitle(title)
    return figure


def show(figure: Figure, alt: str) -> None:
    """Display `figure` in a notebook with a text for those who cannot see it, and close it."""
    from IPython.display import Image, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    display(Image(buffer.getvalue(), alt=alt))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Display a table in a notebook: a row of column names, then the rows, numbers to the right."""
    from IPython.display import Markdown, display

    lines = [columns, [":--"] + ["--:"] * (len(columns) - 1), *rows]
    display(Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)))


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` in the format of the file's ending and close it. Raises CarvanaError if that cannot be done."""
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, dpi=110, format=path.suffix[1:].lower() or "png")
    )
    plt.close(figure)
