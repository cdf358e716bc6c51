"""The tools without a browser: what their controls do to pictures and numbers."""

import asyncio
import base64
import copy
import io
import json
import re
import shutil
import struct
import sys
import zlib
from types import ModuleType

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from helpers import draw
from PIL import Image

from carvana_lib.base.errors import CarvanaError
from carvana_lib.cli.options import build_parser
from carvana_lib.data import list_pairs
from carvana_lib.extras.thresholds import predict_dataset
from carvana_lib.metrics import boundary_error, confusion, dice
from carvana_lib.pictures.overlays import ORANGE
from carvana_lib.prepare.cache import cache_folder, cache_key, cached_dataset
from carvana_lib.run.weights import load_model
from carvana_lib.widgets.explorers import AugmentationExplorer, FeatureViewer, Turntable
from carvana_lib.widgets.segmenter import PhotoSegmenter, cut_out
from carvana_lib.widgets.threshold_tuner import VIEWS, CurvePicture, ThresholdTuner, kept_predictions
from carvana_lib.widgets.tool import pick, shrink


@pytest.fixture(scope="module")
def net(trained):
    return load_model(trained)


@pytest.fixture(scope="module")
def dataset(net, carvana):
    return cached_dataset(list_pairs(carvana, [1]), net[1].size, progress=False)


@pytest.fixture(scope="module")
def predictions(net, dataset):
    return predict_dataset(net[0], dataset)


@pytest.fixture
def tuner(predictions, tmp_path):
    return ThresholdTuner(predictions, export_to=tmp_path / "out" / "threshold.json")


def pixels(image) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image.value)).convert("RGB")).astype(int)


def number(text: str, name: str) -> float:
    """The value below `name` in a table of scores."""
    names, values = re.findall(r"<th[^>]*>([^<]+)", text), re.findall(r"<td[^>]*>([\d.]+)", text)
    return float(values[names.index(name)])


def set_dice(tuner) -> float:
    return float(re.search(r"Dice <b>([\d.]+)", tuner.summary.value).group(1))


def true_counts(predictions, index, threshold):
    target = torch.from_numpy(predictions.dataset.native_mask(index))[None]
    return confusion(torch.from_numpy(predictions.mask(index, threshold))[None], target)


def test_the_worst_photo_comes_first(tuner, predictions):
    scores = dice(predictions.histograms.counts(0.5), "none").numpy()
    assert tuner.photo.value == scores.argmin()
    assert [index for _, index in tuner.photo.options] == np.argsort(scores, kind="stable").tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.83, 1.0])
def test_the_numbers_are_those_of_the_mask_at_the_threshold(tuner, predictions, threshold):
    tuner.threshold.value = threshold
    index = tuner.photo.value
    target = predictions.dataset.native_mask(index)
    assert number(tuner.numbers.value, "Dice") == pytest.approx(
        dice(true_counts(predictions, index, threshold)).item(), abs=5e-5
    )
    error = boundary_error(predictions.mask(index, threshold), target)
    assert number(tuner.numbers.value, "boundary error") == pytest.approx(error, abs=5e-3)


def test_the_whole_sets_dice_is_that_of_all_masks(tuner, predictions):
    tuner.threshold.value = 0.3
    counts = torch.cat([true_counts(predictions, i, 0.3) for i in range(len(predictions.dataset))])
    assert set_dice(tuner) == pytest.approx(dice(counts).item(), abs=1e-4)
    tuner.apply.click()
    assert number(tuner.message.value, "Dice") == pytest.approx(dice(counts).item(), abs=1e-4)


def test_probabilities_and_levels_agree(net, dataset, predictions):
    from carvana_lib.prediction import predict_logits, upsample

    target = dataset.native_mask(0)
    logits = upsample(predict_logits(net[0], dataset.batch([0])[0]), *target.shape)[0, 0]
    for threshold in (0.1, 0.5, 0.9):
        np.testing.assert_array_equal(predictions.mask(0, threshold), (torch.sigmoid(logits) > threshold).numpy())


def test_slider_view_and_photo_change_the_picture(tuner):
    pictures = []
    for view in VIEWS:
        tuner.view.value = view
        pictures.append(pixels(tuner.picture))
    tuner.view.value = "overlay"
    tuner.threshold.value = 0.99
    pictures.append(pixels(tuner.picture))
    tuner.photo.value = tuner.photo.options[-1][1]
    pictures.append(pixels(tuner.picture))
    for number_a, a in enumerate(pictures):
        for b in pictures[:number_a]:
            assert np.abs(a - b).mean() > 0.3


def test_the_thumbnails_are_the_cars_views_worst_first(tuner, predictions):
    pairs, scores = predictions.dataset.pairs, dice(predictions.histograms.counts(0.5), "none").numpy()
    car = pairs[tuner.photo.value].car
    worst_first = sorted((i for i, pair in enumerate(pairs) if pair.car == car), key=lambda i: scores[i])
    buttons = [box.children[1] for box in tuner.thumbnails.children]
    assert [b.description for b in buttons] == [f"{pairs[i].view:02d}: {scores[i]:.4f}" for i in worst_first]
    buttons[2].click()
    assert tuner.photo.value == worst_first[2]
    assert [bool(b.button_style) for b in buttons] == [n == 2 for n in range(len(buttons))]


def test_a_threshold_applied_to_the_set_orders_photos_and_views_again(tuner, predictions):
    shown = tuner.photo.options[3][1]
    tuner.photo.value = shown
    tuner.threshold.value = 0.95
    tuner.apply.click()
    scores = dice(predictions.histograms.counts(0.95), "none").numpy()
    assert [index for _, index in tuner.photo.options] == np.argsort(scores, kind="stable").tolist()
    assert tuner.photo.value == shown
    labels = [float(box.children[1].description.split()[1]) for box in tuner.thumbnails.children]
    assert labels == sorted(labels)
    assert f"{scores[shown]:.4f}" in tuner.photo.label


def test_list_and_views_say_for_which_threshold_and_follow_when_the_slider_rests(tuner, predictions):
    def said() -> list[str]:
        buttons = [slot.children[1].description for slot in tuner.thumbnails.children]
        return [tuner.views_text.value, tuner.photo.label, *buttons]

    def check(threshold: float) -> None:
        scores = dice(predictions.histograms.counts(threshold), "none").numpy()
        assert f"at threshold {threshold:.3g}," in tuner.views_text.value
        assert tuner.photo.label.endswith(f"at {threshold:.3g}: Dice {scores[tuner.photo.value]:.4f}")
        shown = [slot.children[1].description for slot in tuner.thumbnails.children]
        assert shown == [f"{predictions.dataset.pairs[i].view:02d}: {scores[i]:.4f}" for i in tuner._car]

    check(0.5)
    tuner.threshold.value = 1.0
    check(1.0)

    async def drag() -> None:
        before = said()
        for step in range(20):
            tuner.threshold.value = 0.9 - step / 100
        assert said() == before, "while the slider moves, only picture and scores of the photo follow"
        await asyncio.sleep(1)

    asyncio.run(drag())
    check(0.71)


def test_no_scroll_bar_stands_under_a_thumbnail(tuner):
    for slot in tuner.thumbnails.children:
        assert slot.layout.overflow == "hidden"
        assert slot.children[1].layout.width == "auto"


def test_moves_and_cars_leave_no_widgets_or_figures_behind(tuner, predictions):
    import matplotlib.pyplot as plt
    from ipywidgets.widgets import widget

    widgets_now = widget.Widget.widgets if widgets.__version__.startswith("7.") else widget._instances
    cars = {pair.car: index for index, pair in enumerate(predictions.dataset.pairs)}
    before, figures = None, plt.get_fignums()
    for _ in range(2):
        for index in cars.values():
            tuner.photo.value = index
            tuner.threshold.value = 0.3 if tuner.threshold.value == 0.7 else 0.7
        before = before or len(widgets_now)
    assert len(widgets_now) == before
    assert plt.get_fignums() == figures


def test_predictions_are_kept_and_made_again_when_anything_changed(net, dataset, predictions, monkeypatch):
    calls = []
    real = predict_dataset
    monkeypatch.setattr("carvana_lib.widgets.threshold_tuner.predict_dataset", lambda *a: calls.append(1) or real(*a))
    for expected in (1, 1):  # the second time nothing is predicted
        kept = kept_predictions(net[0], dataset)
        assert len(calls) == expected
        np.testing.assert_array_equal(kept.histograms.car, predictions.histograms.car)
        np.testing.assert_array_equal(kept.histograms.background, predictions.histograms.background)
        assert all((a == b).all() for a, b in zip(kept.levels, predictions.levels, strict=True))
    other = copy.deepcopy(net[0])
    torch.nn.init.zeros_(next(other.parameters()))
    assert (kept_predictions(other, dataset).histograms.car != predictions.histograms.car).any()
    assert len(calls) == 2
    for file in (cache_folder() / cache_key(dataset.pairs, dataset.size)).glob("levels-*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    again = kept_predictions(net[0], dataset)
    assert len(calls) == 3
    np.testing.assert_array_equal(again.histograms.car, predictions.histograms.car)


def test_the_threshold_is_saved(tuner, tmp_path):
    tuner.threshold.value = 0.4
    tuner.export.click()
    values = json.loads((tmp_path / "out" / "threshold.json").read_text())
    assert values["threshold"] == 0.4
    assert values["dice"] == pytest.approx(set_dice(tuner), abs=1e-4)
    assert "Saved" in tuner.message.value
    assert "--threshold 0.4 " in tuner.message.value


def test_a_threshold_that_cannot_be_saved_gets_a_sentence(predictions, tmp_path):
    (tmp_path / "file").write_text("in the way")
    tuner = ThresholdTuner(predictions, export_to=tmp_path / "file" / "threshold.json")
    tuner.export.click()
    assert tuner.message.value.startswith("Not saved")


def test_the_marker_moves_along_the_curve():
    x = np.linspace(0, 1, 11)
    curve = CurvePicture(x, x, "title", "x", "y")
    columns = []
    for place in (0.0, 0.5, 1.0):
        changed = (curve.at(place) != curve.picture).any((0, 2))
        columns.append(np.flatnonzero(changed).mean())
    assert columns[0] < columns[1] < columns[2]
    assert columns[1] == pytest.approx((columns[0] + columns[2]) / 2, abs=2)


def test_a_still_picture_stands_in_where_nothing_runs(tuner, dataset, net):
    """Its sentence is in the picture too: GitHub shows neither alt text nor text/plain."""
    photo = np.asarray(draw(99, 3)[0])
    viewer, segmenters = FeatureViewer(net[0], photo, net[1].size), (PhotoSegmenter(*net), PhotoSegmenter(*net, photo))
    for tool in (tuner, Turntable(dataset), AugmentationExplorer(dataset), viewer, *segmenters):
        data, metadata = tool._repr_mimebundle_()
        view = data["application/vnd.jupyter.widget-view+json"]
        assert view == {"version_major": 2, "version_minor": 0, "model_id": tool.box.model_id}
        assert data["text/plain"].startswith(f"{type(tool).__name__}: run this cell")
        assert metadata["image/png"]["alt"].endswith(data["text/plain"])
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))))
        still = tool.still
        np.testing.assert_array_equal(picture[: len(still), : still.shape[1]], still)
        strip = picture[len(still) :]
        assert (strip < 100).any((0, 2)).sum() > 200
        # No letter is cut off at the end.
        assert (strip[:, -4:] == 255).all()


def test_pictures_are_made_smaller_never_larger():
    assert shrink(np.zeros((100, 2000, 3), np.uint8)).shape == (36, 720, 3)
    assert shrink(np.zeros((10, 20, 3), np.uint8)).shape == (10, 20, 3)
    np.testing.assert_array_equal(pick(np.arange(16).reshape(4, 4), (2, 2)), [[5, 7], [13, 15]])


def test_the_turntable_turns(dataset):
    table = Turntable(dataset)
    first = pixels(table.picture)
    table.turn.value = 3
    assert "view 3," in table.caption.value
    assert np.abs(pixels(table.picture) - first).mean() > 1
    second = pixels(table.picture)
    table.opacity.value = 0
    assert np.abs(pixels(table.picture) - second).mean() > 0.5
    table.car.value = table.car.options[-1][1]
    assert table.turn.value == 3
    assert table.caption.value.startswith(f"{table.car.value}_03: view 3,")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("car,colour,style\n{},black,suv\n", "black SUV (0000...)"),
        ("id,year,make,model\n{},2010,Acura,TL\n", "Acura TL (0000...)"),
        ("car,colour\n{},\nother,red\n", "{}"),
        ("", "{}"),
        ("\x00\xff", "{}"),
    ],
)
def test_cars_have_names_where_a_reader_chooses_one(net, carvana, tmp_path, text, name):
    shutil.copytree(carvana, tmp_path / "data")
    car = list_pairs(carvana, [1])[0].car
    (tmp_path / "data" / "metadata.csv").write_bytes(text.format(car).encode("latin-1"))
    dataset = cached_dataset(list_pairs(tmp_path / "data", [1]), net[1].size, progress=False)
    table, tuner = Turntable(dataset), ThresholdTuner(predict_dataset(net[0], dataset))
    assert (name.format(car), car) in table.car.options
    index = next(i for i, pair in enumerate(dataset.pairs) if pair.car == car)
    label = next(label for label, value in tuner.photo.options if value == index)
    named = f"{name}, view {dataset.pairs[index].view}" if "{" not in name else dataset.pairs[index].name
    assert label.startswith(f"{named}, at 0.5: Dice ")


def test_augmentation_moves_photo_and_mask_together(dataset):
    explorer = AugmentationExplorer(dataset)
    image, mask = explorer.changed()
    torch.testing.assert_close(image, explorer.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, explorer.mask, atol=1e-5, rtol=0)
    explorer.flip.value = True
    image, mask = explorer.changed()
    torch.testing.assert_close(image, explorer.image.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, explorer.mask.flip(-1), atol=1e-5, rtol=0)
    explorer.sliders["brightness"].value = 30
    assert explorer.changed()[0].mean() > image.mean()
    before = pixels(explorer.picture)
    explorer.both.value = False
    assert "is it still right" in explorer.text.value
    assert np.abs(pixels(explorer.picture) - before).mean() > 0.3
    explorer.reset.click()
    torch.testing.assert_close(explorer.changed()[1], explorer.mask, atol=1e-5, rtol=0)


@pytest.mark.parametrize("flip", [False, True])
def test_sliders_do_what_they_are_called(dataset, flip):
    """Also in the mirrored photo: right is right and a turn to the left goes to the left."""
    explorer = AugmentationExplorer(dataset)
    explorer.mask = torch.zeros_like(explorer.mask)
    height, width = explorer.mask.shape[-2:]
    # A bar to the right of the middle, to the left of it once mirrored.
    explorer.mask[..., height // 2 - 4 : height // 2 + 4, width * 5 // 8 : width * 7 // 8] = 1
    explorer.flip.value = flip

    def centre():
        rows, columns = (explorer.changed()[1][0, 0] > 0.5).nonzero().double().mean(0).tolist()
        return columns, rows

    x, y = centre()
    explorer.sliders["right"].value = 10
    assert centre()[0] == pytest.approx(x + 0.1 * width, abs=1.5)
    explorer.sliders["right"].value, explorer.sliders["down"].value = 0, 20
    assert centre()[1] == pytest.approx(y + 0.2 * height, abs=1.5)
    explorer.sliders["down"].value, explorer.sliders["turn"].value = 0, 30
    assert (centre()[1] > y + 4) == flip
    area = explorer.changed()[1].sum()
    explorer.sliders["size"].value = 20
    assert float(explorer.changed()[1].sum()) == pytest.approx(1.44 * float(area), rel=0.05)


def test_every_level_and_channel_can_be_seen(net):
    photo = np.asarray(draw(99, 3)[0])
    viewer = FeatureViewer(net[0], photo, net[1].size)
    assert len(viewer.maps) == 1 + 2 * net[1].depth
    sizes = [maps.shape for maps in viewer.maps.values()]
    assert sizes[0][0] * 2 ** net[1].depth == sizes[net[1].depth][0]
    pictures = []
    for level in (viewer.level.options[0], viewer.level.options[2]):
        viewer.level.value = level
        viewer.channel.value = viewer.channel.max
        pictures.append(pixels(viewer.picture))
    assert np.abs(pictures[0] - pictures[1]).mean() > 1
    viewer.level.value = viewer.level.options[0]
    assert viewer.channel.value <= viewer.channel.max == sizes[0][0] - 1


def test_the_wall_shows_all_channels_and_frames_the_chosen_one(net):
    viewer = FeatureViewer(net[0], np.asarray(draw(99, 3)[0]), net[1].size)
    for level, maps in viewer.maps.items():
        viewer.level.value = level
        height, width = viewer._tile
        wall = pixels(viewer.wall)
        assert wall.shape == (-(-len(maps) // viewer.COLUMNS) * height, viewer.COLUMNS * width, 3)
        chosen = len(maps) - 1
        viewer.channel.value = chosen
        row, column = divmod(chosen, viewer.COLUMNS)
        framed = np.abs(pixels(viewer.wall) - ORANGE).sum(2) < 60
        rows, columns = np.nonzero(framed)
        assert (rows.min() // height, rows.max() // height) == (row, row)
        assert (columns.min() // width, columns.max() // width) == (column, column)


def as_bytes(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def segmenter(net):
    tool = PhotoSegmenter(*net)
    tool.send = lambda name, content: send(tool.upload, name, content)
    return tool


def send(control: widgets.FileUpload, name: str, content: bytes) -> None:
    """What a browser sends when a file is chosen, in the form of the ipywidgets that is installed."""
    about = {"name": name, "type": "", "size": len(content)}
    if widgets.__version__.startswith("7."):
        state = {"metadata": [{**about, "lastModified": 0}], "data": [memoryview(content)], "_counter": 1}
        control.set_state(state | {"_counter": control._counter + 1})
    else:
        control.set_state({"value": [{**about, "last_modified": 0, "content": memoryview(content)}]})


def test_the_file_may_be_named_instead(net, tmp_path):
    draw(99, 3, (120, 50))[0].save(tmp_path / "mine.png")
    for path in (tmp_path / "mine.png", str(tmp_path / "mine.png")):
        tool = PhotoSegmenter(*net, path)
        assert tool.message.value.startswith("mine: 120 x 50 pixels")
    with pytest.raises(CarvanaError, match=r"no file .*gone\.png"):
        PhotoSegmenter(*net, tmp_path / "gone.png")


def test_in_colab_its_own_dialogue_takes_large_photos(net, monkeypatch):
    box = PhotoSegmenter(*net).box
    assert box.children[0].children[0].description == "Choose a photo", "the button comes first"
    assert "Colab" not in box.children[-1].value
    assert "<details>" in box.children[-1].value
    with pytest.raises(CarvanaError, match="this is not Colab"):
        PhotoSegmenter(*net).ask()
    photo = as_bytes(draw(99, 3, (120, 50))[0], "PNG")
    files = ModuleType("google.colab.files")
    files.upload = lambda: {"mine (1).png": photo}
    colab = ModuleType("google.colab")
    colab.files = files
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "google.colab.files", files)
    tool = PhotoSegmenter(*net)
    assert "about 1 MB" in tool.box.children[-1].value
    tool.ask()
    assert tool.message.value.startswith("mine (1): 120 x 50 pixels")
    assert tool.mask.shape == (50, 120)
    files.upload = dict  # the learner cancels
    tool.ask()
    assert tool.mask.shape == (50, 120)


def turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return as_bytes(picture, "JPEG", exif=exif)


MODES = {
    "rgb.jpg": lambda p: as_bytes(p, "JPEG"),
    "grey.png": lambda p: as_bytes(p.convert("L"), "PNG"),
    "rgba.png": lambda p: as_bytes(p.convert("RGBA"), "PNG"),
    "cmyk.jpg": lambda p: as_bytes(p.convert("CMYK"), "JPEG"),
    "palette.gif": lambda p: as_bytes(p.convert("P"), "GIF"),
    "deep.png": lambda p: as_bytes(Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 256), "PNG"),
    "one bit.png": lambda p: as_bytes(p.convert("1"), "PNG"),
    "webp.webp": lambda p: as_bytes(p, "WEBP"),
}


@pytest.mark.parametrize("name", MODES)
def test_a_photo_of_any_mode_gets_a_mask_of_its_size(segmenter, name):
    picture = draw(99, 3, (120, 50))[0]
    segmenter.send(name, MODES[name](picture))
    assert segmenter.mask.shape == (50, 120)
    assert "120 x 50 pixels" in segmenter.message.value
    assert len(segmenter.picture.value) > 100


def test_a_turned_photo_is_shown_upright(segmenter):
    segmenter.send("turned.jpg", turned(draw(99, 3, (120, 50))[0]))
    assert segmenter.mask.shape == (120, 50)


def bomb() -> bytes:
    """A few bytes that claim to be a PNG of 900 megapixels."""
    png = bytearray(as_bytes(Image.new("L", (8, 8)), "PNG"))
    png[16:24] = struct.pack(">II", 30_000, 30_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    return bytes(png)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "bomb.png",
            bomb(),
            "bomb.png has too many pixels to be a photo: replace or remove it. Then choose a photo again.",
        ),
        (
            "notes.txt",
            b"no picture",
            "notes.txt is not an image, whatever its name says: replace or remove it. Then choose",
        ),
        ("empty.jpg", b"", "empty.jpg is not an image"),
        ("cut.jpg", None, "cut.jpg is damaged"),
        ("<b>.txt", b"x", "&lt;b&gt;.txt is not an image"),
        ("../../up.txt", b"x", "up.txt is not an image"),
    ],
)
def test_other_files_get_a_sentence(segmenter, name, content, message):
    if content is None:
        content = as_bytes(draw(99, 3, (300, 200))[0], "JPEG")[:3000]
    segmenter.send(name, content)
    assert message in segmenter.message.value
    assert "tmp" not in segmenter.message.value
    assert segmenter.photo is None


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(segmenter, monkeypatch):
    monkeypatch.setattr("carvana_lib.base.image_files.MOST_PIXELS", 1_000_000)
    segmenter.send("big.png", as_bytes(Image.new("L", (2000, 1000)), "PNG"))
    assert segmenter.message.value.startswith("big.png has 2 megapixels")
    assert segmenter.photo is None


def test_the_cut_out_is_transparent_outside_the_mask(segmenter):
    segmenter.make.click()
    assert "Choose a photo first" in segmenter.message.value
    picture, _ = draw(99, 3)
    segmenter.segment("car", np.asarray(picture))
    segmenter.make.click()
    assert 'download="car_cutout.png"' in segmenter.link.value
    out = cut_out(segmenter.photo, segmenter.mask)
    np.testing.assert_array_equal(out[..., 3] == 255, segmenter.mask)
    np.testing.assert_array_equal(out[..., :3], np.asarray(picture) * segmenter.mask[..., None])
    before = segmenter.mask.sum()
    segmenter.threshold.value = 0.9
    assert segmenter.mask.sum() < before
    assert segmenter.link.value == ""


def test_of_a_photo_that_fails_nothing_of_the_one_before_is_offered(segmenter, monkeypatch):
    segmenter.send("a.png", as_bytes(draw(99, 3, (120, 50))[0], "PNG"))
    segmenter.offer()
    assert 'download="a_cutout.png"' in segmenter.link.value
    for name, content in (("notes.txt", b"no picture"), ("cut.png", as_bytes(draw(98, 3)[0], "PNG")[:2000])):
        segmenter.send("a.png", as_bytes(draw(99, 3, (120, 50))[0], "PNG"))
        segmenter.send(name, content)
        assert name in segmenter.message.value
        segmenter.threshold.value = 0.9 - segmenter.threshold.value
        segmenter.make.click()
        assert "Choose a photo first" in segmenter.message.value
        assert segmenter.link.value == ""
        assert (segmenter.picture.value, segmenter.picture.layout.display) == (b"", "none")
        assert segmenter.still.shape == (90, 320, 3)
    segmenter.send("a.png", as_bytes(draw(99, 3, (120, 50))[0], "PNG"))
    monkeypatch.setattr(
        "carvana_lib.widgets.segmenter.predict_array", lambda *_: (_ for _ in ()).throw(RuntimeError("memory"))
    )
    segmenter.send("b.png", as_bytes(draw(98, 3, (60, 40))[0], "PNG"))
    assert segmenter.message.value == "b.png cannot be used (RuntimeError)."
    assert segmenter.link.value == ""
    segmenter.offer()
    assert segmenter.link.value == ""
    monkeypatch.undo()
    segmenter.send("c.png", as_bytes(draw(98, 3, (60, 40))[0], "PNG"))
    assert segmenter.mask.shape == (40, 60)
    assert segmenter.picture.layout.display is None
    segmenter.offer()
    assert 'download="c_cutout.png"' in segmenter.link.value


def test_a_photo_in_memory_may_be_grey_or_pillows(net):
    picture = draw(99, 3, (120, 50))[0]
    grey = np.asarray(picture.convert("L"))
    tools = [PhotoSegmenter(*net, photo) for photo in (np.dstack([grey] * 3), grey, picture.convert("L"))]
    for tool in tools[1:]:
        assert (tool.mask == tools[0].mask).all()
        assert tool.photo.shape == (50, 120, 3)


def test_the_cut_out_of_what_is_no_mask_is_refused():
    photo, mask = np.asarray(draw(99, 3)[0]), draw(99, 3)[1]
    for wrong in (mask * 0.9, mask * np.uint8(255), mask[None], mask[:-1]):
        with pytest.raises(ValueError, match="mask"):
            cut_out(photo, wrong)
    with pytest.raises(ValueError, match="a photo must be"):
        cut_out(photo / 255, mask)


def test_a_photo_that_is_gone_gets_a_sentence(net, carvana, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(carvana, root)
    dataset = cached_dataset(list_pairs(root, [1]), net[1].size, progress=False)
    tuner = ThresholdTuner(predict_dataset(net[0], dataset))
    first = tuner.photo.value
    other = next(i for i in range(len(dataset)) if dataset.pairs[i].car != dataset.pairs[first].car)
    dataset.pairs[other].photo.unlink()
    tuner.photo.value = other
    assert f"no file {dataset.pairs[other].photo}" in tuner.message.value
    tuner.threshold.value = 0.7
    assert (tuner.picture.value, tuner.numbers.value) == (b"", "")
    tuner.photo.value = first
    assert len(tuner.picture.value) > 100


def test_the_text_shows_the_threshold_that_counts(tuner):
    tuner.threshold.value = 0.123
    tuner.apply.click()
    assert "photos at threshold 0.123:" in tuner.message.value
    assert " at 0.123. The best" in tuner.summary.value


def test_the_command_for_a_saved_threshold_is_a_whole_one(tuner):
    tuner.export.click()
    command = re.search("<code>carvana (.*)</code>", tuner.message.value).group(1)
    options = build_parser().parse_args(command.split())
    assert options.threshold == 0.5
