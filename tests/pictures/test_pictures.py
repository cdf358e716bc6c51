import base64
import io
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from carvana_lib.pictures.figures import (
    picture_grid,
    plot_confusion,
    plot_history,
    save_figure,
    show,
    show_table,
    smallest_type,
)
from carvana_lib.pictures.overlays import BLUE, ORANGE, cividis, error_map, grey, heat_map, outline, overlay, tint


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


def test_the_rows_of_a_confusion_matrix_are_shares():
    figure = plot_confusion(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]), ["wall", "car", "moon"])
    axis = figure.axes[0]
    found = [(*text.get_position(), text.get_text()) for text in axis.texts]
    # (column, row); the moon has no pixel, so nothing is said of it.
    assert found == [
        (0, 0, "0.750"), (1, 0, "0.250"), (2, 0, "0.000"), (0, 1, "0.250"), (1, 1, "0.750"), (2, 1, "0.000"),
    ]  # fmt: skip
    assert axis.images[0].get_array().mask.tolist() == [[False] * 3, [False] * 3, [True] * 3]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["wall", "car", "moon"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")
    assert axis.get_title() == "What each class was taken for"
    with pytest.raises(ValueError, match="of 2 classes is square, not \\(2, 3\\)"):
        plot_confusion(np.zeros((2, 3)), ["a", "b"])


def test_a_grid_shows_every_picture_with_its_title():
    figure = picture_grid(
        [np.zeros((4, 6, 3), np.uint8)] * 3 + [np.zeros((4, 6))], list("abcd"), columns=3, title="all"
    )
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d", "", ""]
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 0, 0]


def test_figures_and_tables_are_displayed_with_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append((thing, options)))
    figure = picture_grid([np.zeros((4, 6, 3), np.uint8)], ["a"])
    show(figure, "a black picture")
    show_table(["name", "Dice"], [["net", 0.5]])
    (picture, options), (table, _) = shown
    look = {"alt": "a black picture", "width": 900, "smallest_type": 13.9}  # 10 points, where an inch has 100 pixels
    assert options == {"metadata": {"image/png": look}, "raw": True}
    file = Image.open(io.BytesIO(base64.b64decode(picture["image/png"])))
    assert (file.format, file.width) == ("PNG", 1350)
    assert table.data == "| name | Dice |\n| :-- | --: |\n| net | 0.5 |"
    assert not plt.fignum_exists(figure.number)


def test_a_figure_without_pictures_is_drawn_finer(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append(thing))
    show(plot_history([{"epoch": 1, "loss": 0.5, "dice": 0.8}]), "two curves")
    assert Image.open(io.BytesIO(base64.b64decode(shown[0]["image/png"]))).width == 1800


def test_a_figure_can_take_the_place_of_what_was_shown(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append(options))
    show(picture_grid([PHOTO], ["photo"]), "a photo", display_id="place", update=True)
    assert (shown[0]["display_id"], shown[0]["update"]) == ("place", True)


def test_the_smallest_type_is_that_of_texts_that_are_drawn():
    figure, axis = plt.subplots(figsize=(4, 3))
    figure.canvas.draw()
    before = np.asarray(figure.canvas.buffer_rgba()).copy()
    assert smallest_type(figure) == pytest.approx(10 * 100 / 72, abs=0.1)
    figure.canvas.draw()
    assert (np.asarray(figure.canvas.buffer_rgba()) == before).all(), "measuring changed the figure"
    axis.set_yscale("log")  # $10^0$: an exponent is drawn at 0.7 of the size
    assert smallest_type(figure) == pytest.approx(7 * 100 / 72, abs=0.1)
    axis.tick_params(labelsize=9)
    axis.set_yscale("linear")
    assert smallest_type(figure) == pytest.approx(9 * 100 / 72, abs=0.1)
    axis.text(0.5, 0.5, "hidden", fontsize=3, visible=False)
    axis.text(0.5, 0.5, "", fontsize=3)
    axis.set_axis_off()
    assert smallest_type(figure) == 0
    axis.text(0.5, 0.5, "seen", fontsize=6)
    assert smallest_type(figure) == pytest.approx(6 * 100 / 72, abs=0.1)
    figure.set_dpi(200)
    assert smallest_type(figure) == pytest.approx(6 * 100 / 72, abs=0.1)
    plt.close(figure)


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


PHOTO = np.full((8, 10, 3), 200, np.uint8)
MASK = np.zeros((8, 10), bool)
MASK[2:5, 3:7] = True
PROBABILITY = np.where(MASK, 0.9, 0.2).astype(np.float32)
NO_MASKS = {
    "0/255": MASK * np.uint8(255),
    "probability": PROBABILITY,
    "logits": (PROBABILITY - 0.5) * 8,
    "tensor": torch.from_numpy(MASK),
    "with an axis": MASK[..., None],
    "of another size": MASK[:, :-1],
    "list": MASK.tolist(),
}
NO_PHOTOS = {"floats": PHOTO / 255, "grey": PHOTO[..., 0], "RGBA": np.dstack([PHOTO, PHOTO[..., :1]])}
NO_PHOTOS |= {"channels first": PHOTO.transpose(2, 0, 1), "tensor": torch.from_numpy(PHOTO)}


def refused(function, *arguments) -> None:
    # Words of ours: NumPy fails on some of these too, later and with words of its own.
    with pytest.raises(ValueError, match=r" must be | lie between |does not fit|needs a title|a row of ") as error:
        function(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", NO_MASKS.values(), ids=NO_MASKS)
def test_what_is_no_mask_of_the_photo_is_refused(wrong):
    before = PHOTO.copy()
    refused(overlay, PHOTO, wrong)
    refused(outline, PHOTO, wrong)
    refused(tint, PHOTO, wrong, BLUE, 0.5)
    refused(error_map, PHOTO, wrong, MASK)
    refused(error_map, PHOTO, MASK, wrong)
    assert (before == PHOTO).all()


@pytest.mark.parametrize("wrong", NO_PHOTOS.values(), ids=NO_PHOTOS)
def test_what_is_no_photo_is_refused(wrong):
    refused(overlay, wrong, MASK)
    refused(outline, wrong, MASK)
    refused(grey, wrong)
    refused(heat_map, wrong, PROBABILITY)
    refused(error_map, wrong, MASK, MASK)


def test_what_are_no_probabilities_is_refused():
    holes = PROBABILITY.copy()
    holes[0, 0] = np.nan
    for wrong in ((PROBABILITY - 0.5) * 8, PROBABILITY * 255, MASK, MASK * np.uint8(255), holes, PROBABILITY.tolist()):
        refused(cividis, wrong)
        refused(heat_map, PHOTO, wrong)
    refused(heat_map, PHOTO, PROBABILITY[:, :-1])
    for opacity in (-0.1, 45, float("nan")):
        refused(overlay, PHOTO, MASK, opacity)


def test_a_grid_refuses_what_it_would_draw_wrongly():
    for wrong in (
        PROBABILITY * 255,
        (PROBABILITY - 0.5) * 8,
        MASK * 256,
        -1 * MASK,
        PHOTO / 255,
        torch.from_numpy(PHOTO),
    ):
        refused(picture_grid, [PHOTO, wrong], ["photo", "wrong"])
    refused(picture_grid, [PHOTO, MASK], ["photo"])
    refused(picture_grid, [PHOTO], ["photo", "mask"])
    refused(picture_grid, [], [])
    figure = picture_grid([MASK * 255], ["whole numbers"])
    assert figure.axes[0].images[0].norm.vmax == 255
    plt.close("all")
    refused(show_table, ["name", "Dice"], [["net", 0.5], ["net"]])


def test_a_figure_is_saved_under_a_name_given_as_text(tmp_path):
    save_figure(picture_grid([PHOTO], ["photo"]), str(tmp_path / "grid.png"))
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
