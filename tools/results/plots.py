"""The plots of docs/results.md, one an experiment, from the JSON files of `benchmarks.experiments.experiments`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from carvana_lib.pictures.overlays import BLUE, ORANGE

BLUE_, ORANGE_ = np.array(BLUE) / 255, np.array(ORANGE) / 255
DPI = 200
_WRONG = "1 - Dice, native (lower is better)"


def draw_all(found: dict[str, dict], folder: Path) -> None:
    """Write one PNG for each experiment of `found` (name -> what its JSON holds)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PLOTS.keys() & found.keys():
        figure = draw(name, found)
        figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
        plt.close(figure)


def draw(name: str, found: dict[str, dict]) -> Figure:
    """The plot of one experiment. A page shows it as wide as its column: more inches would make the type smaller."""
    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    PLOTS[name](axis, found)
    axis.grid(alpha=0.3)
    return figure


def _arms(name: str, title: str, xlabel: str, axis: Axes, found: dict[str, dict]) -> None:
    """A dot a seed and a line for the mean of each arm, as 1 - Dice."""
    rows: dict[str, list[dict[str, float]]] = found[name]["arms"]
    for place, seeds in enumerate(rows.values()):
        wrong = [1 - row["dice"] for row in seeds]
        axis.scatter([place] * len(wrong), wrong, color=BLUE_, zorder=3, label="one seed" if place == 0 else None)
        middle = float(np.mean(wrong))
        axis.plot(
            [place - 0.25, place + 0.25], [middle] * 2, color=ORANGE_, lw=2.5, label="mean" if place == 0 else None
        )
    axis.set(title=title, xlabel=xlabel, ylabel=_WRONG, xlim=(-0.6, len(rows) - 0.4))
    axis.set_ylim(0, 1.3 * max(1 - row["dice"] for seeds in rows.values() for row in seeds))
    axis.set_xticks(range(len(rows)), list(rows))
    axis.legend(loc="upper right", ncols=2)


def _lines(axis: Axes, x: list[float], seeds: list[list[float]], label: str) -> None:
    middle = [float(np.mean(values)) for values in seeds]
    axis.plot(x, middle, color=BLUE_, label=label)
    for at, values in zip(x, seeds, strict=True):
        axis.scatter([at] * len(values), values, color=BLUE_, s=18)


def _cars(axis: Axes, found: dict[str, dict]) -> None:
    arms = found["cars"]["arms"]
    x = [int(cars) for cars in arms]
    _lines(axis, x, [[1 - row["dice"] for row in rows] for rows in arms.values()], "mean of the seeds (dots)")
    axis.set(title="More cars, the same number of steps", xlabel="training cars", ylabel=_WRONG, xscale="log")
    axis.set_xticks(x, [str(value) for value in x])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.legend()


def _size(axis: Axes, found: dict[str, dict]) -> None:
    arms, ceilings = found["size"]["arms"], found["ceilings"]["sizes"]
    x = [int(size.split("x")[0]) for size in arms]
    _lines(axis, x, [[1 - row["dice"] for row in rows] for rows in arms.values()], "net, mean of the seeds (dots)")
    limit = [1 - ceilings[size]["soft"]["dice"] for size in arms]
    axis.plot(x, limit, color=ORANGE_, ls="--", marker="s", ms=4, label="true mask at that size and back")
    axis.set(title="Input size, the same number of steps", xlabel="input width in pixels", ylabel=_WRONG)
    axis.set_xticks(x, list(arms))
    axis.set_ylim(bottom=0)
    axis.legend()


def _thresholds(axis: Axes, found: dict[str, dict]) -> None:
    curve = {name: np.array(values) for name, values in found["thresholds"]["curve"].items()}
    inside = slice(1, -1)
    x = curve["threshold"][inside]
    axis.plot(x, 1 - curve["dice"][inside], color=BLUE_, label="1 - Dice")
    axis.plot(x, 1 - curve["accuracy"][inside], color=ORANGE_, ls="--", label="1 - accuracy")
    axis.set(title='The weights "small" at every threshold, fold 1', xlabel="threshold")
    axis.set_ylabel("wrong (lower is better)")
    axis.set_ylim(bottom=0)
    axis.legend()


PLOTS = {
    "split": partial(_arms, "split", "How much a split by photo leaks", "how training and test photos were split"),
    "masks": partial(_arms, "masks", "Training masks made smaller: averaged or cut at one half", "training masks"),
    "size": _size,
    "loss": partial(_arms, "loss", "Four losses, the same budget", "loss"),
    "skips": partial(_arms, "skips", "U-Net with and without skip connections", "skip connections"),
    "cars": _cars,
    "thresholds": _thresholds,
}
