import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from carvana_lib.pictures.figures import picture_grid, plot_history, show, show_table
from carvana_lib.pictures.overlays import BLUE, ORANGE, cividis, error_map, overlay


def test_overlay_and_error_map():
    photo = np.full((8, 8, 3), 200, dtype=np.uint8)
    mask, target = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    mask[1:6, 1:6], target[2:7, 1:6] = True, True
    picture = overlay(photo, mask)
    assert tuple(picture[1, 1]) == ORANGE
    assert (picture[0] == 200).all()
    assert picture[3, 3, 0] < 200
    errors = error_map(photo, mask, target)
    assert tuple(errors[1, 3]) == ORANGE
    assert tuple(errors[6, 3]) == BLUE
    assert tuple(errors[3, 3]) == tuple(errors[0, 0])
    assert (photo == 200).all()


def test_curves_show_every_epoch():
    figure = plot_history([{"epoch": 1, "loss": 0.5, "dice": 0.8}, {"epoch": 2, "loss": 0.2, "dice": 0.9}])
    loss, dice = figure.axes
    assert list(loss.lines[0].get_ydata()) == [0.5, 0.2]
    assert list(dice.lines[0].get_ydata()) == [0.8, 0.9]
    assert loss.get_title()
    assert dice.get_xlabel() == "epoch"


def test_a_grid_shows_every_picture_with_its_title():
    figure = picture_grid(
        [np.zeros((4, 6, 3), np.uint8)] * 3 + [np.zeros((4, 6))], list("abcd"), columns=3, title="all"
    )
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d", "", ""]
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 0, 0]


def test_figures_and_tables_are_displayed_with_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = picture_grid([np.zeros((4, 6, 3), np.uint8)], ["a"])
    show(figure, "a black picture")
    show_table(["name", "Dice"], [["net", 0.5]])
    picture, table = shown
    data, metadata = picture._repr_png_()
    assert metadata["alt"] == "a black picture"
    assert data
    assert table.data == "| name | Dice |\n| :-- | --: |\n| net | 0.5 |"
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("white", [np.uint8(255), np.float32(1), np.bool_(True)])
def test_an_even_picture_keeps_its_grey(white):
    figure = picture_grid([np.full((4, 6), white), np.zeros((4, 6), white.dtype)], ["all car", "no car"])
    shown = [axis.images[0] for axis in figure.axes[:2]]
    plt.close(figure)
    assert [image.to_rgba(image.get_array())[0, 0, 0] for image in shown] == [1, 0]


def test_cividis_is_matplotlibs():
    values = np.linspace(0, 1, 256, dtype=np.float32)[None]
    assert (cividis(values)[0] == np.round(plt.get_cmap("cividis")(np.arange(256))[:, :3] * 255)).all()


def test_overlays_are_drawn_without_matplotlib():
    code = "import sys, carvana_lib.pictures.overlays; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
