from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import draw
from PIL import Image

from carvana_lib.base.errors import CarvanaError
from carvana_lib.cli.mask_files import predict_files
from carvana_lib.config import preset
from carvana_lib.data import list_pairs
from carvana_lib.extras.tiles import predict_tiled
from carvana_lib.images import read_mask, read_photo
from carvana_lib.prediction import logit, predict_array, predict_logits, predict_photo
from carvana_lib.run.weights import load_model, load_pretrained, save_weights


@pytest.fixture(scope="module")
def model_and_config(trained):
    return load_model(trained)


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (1, 1), (301, 77)])
def test_a_photo_of_any_size_gets_probabilities_of_its_size(model_and_config, tmp_path, size):
    model, config = model_and_config
    draw(4, 1, size)[0].save(tmp_path / "photo.png")
    probability = predict_photo(model, tmp_path / "photo.png", config.size)
    assert probability.shape == size[::-1]
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


def test_a_trained_net_finds_a_car_it_never_saw(model_and_config, tmp_path):
    model, config = model_and_config
    photo, mask = draw(99, 3)
    photo.save(tmp_path / "photo.png")
    found = predict_photo(model, tmp_path / "photo.png", config.size) > 0.5
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9


def test_a_turned_photo_gets_the_turned_mask(model_and_config, tmp_path):
    model, config = model_and_config
    photo = draw(99, 3)[0]
    exif = Image.Exif()
    exif[0x0112] = 3
    photo.save(tmp_path / "plain.png")
    photo.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(np.asarray(photo), 2)).save(tmp_path / "by_hand.png")
    turned, by_hand, plain = (
        predict_photo(model, tmp_path / f"{n}.png", config.size) for n in ("turned", "by_hand", "plain")
    )
    assert np.abs(turned - by_hand).max() < 1e-6
    assert np.abs(turned - plain).max() > 0.1


def test_files_are_written_at_the_photos_own_size(model_and_config, tmp_path):
    model, config = model_and_config
    for name, size in (("a", (120, 50)), ("b", (33, 47))):
        draw(4, 1, size)[0].save(tmp_path / f"{name}.png")
    masks = predict_files(model, config, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    assert [Image.open(mask).size for mask in masks] == [(120, 50), (33, 47)]
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [
        "a_mask.png",
        "a_overlay.jpg",
        "b_mask.png",
        "b_overlay.jpg",
    ]
    expected = predict_photo(model, tmp_path / "a.png", config.size) > 0.5
    assert ((np.asarray(Image.open(masks[0])) == 255) == expected).all()


def test_two_photos_of_one_name_are_refused(model_and_config, tmp_path):
    model, config = model_and_config
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        draw(4, 1)[0].save(tmp_path / folder / "a.png")
    with pytest.raises(CarvanaError, match="two photos are named a"):
        predict_files(model, config, [tmp_path / "x" / "a.png", tmp_path / "y" / "a.png"], tmp_path / "out")


def test_logit():
    assert logit(0.5) == 0
    assert torch.sigmoid(torch.tensor(logit(0.3))).item() == pytest.approx(0.3)
    assert (logit(0), logit(1)) == (-np.inf, np.inf)
    with pytest.raises(CarvanaError, match="not a probability"):
        logit(-0.1)


def test_weights_carry_their_config_and_load_only_into_it(tmp_path):
    config = preset("quick", base_channels=4, depth=2)
    model = config.build_model()
    save_weights(tmp_path / "w.safetensors", model, config)
    loaded, read = load_model(tmp_path / "w.safetensors")
    assert read == config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    save_weights(tmp_path / "w.safetensors", model, preset("quick", base_channels=8, depth=2))
    with pytest.raises(CarvanaError, match="does not fit the net of its own config"):
        load_model(tmp_path / "w.safetensors")


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    from carvana_lib.run import checkpoint

    path = tmp_path / "w.txt"
    path.write_text("old")

    def full(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CarvanaError, match=r"cannot write .*No space left"):
        checkpoint.write_atomically(path, full)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.txt"]


def test_the_weights_that_come_along_find_a_rendered_car():
    model, config = load_pretrained("small")
    pair = list_pairs(Path(__file__).parents[2] / "data" / "sample")[4]
    photo, mask = read_photo(pair.photo), read_mask(pair.mask)
    found = predict_array(model, photo, config.size) > 0.5
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.93
    assert load_model("small")[1] == config
    with pytest.raises(CarvanaError, match=r"no weights named 'huge': choose one of small"):
        load_pretrained("huge")


def test_no_photo_is_replaced_by_a_result(model_and_config, tmp_path):
    model, config = model_and_config
    for name in ("a.png", "a_mask.png", "b_overlay.jpg", "b.png"):
        draw(4, 1)[0].save(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for names in (["a.png", "a_mask.png"], ["b_overlay.jpg", "b.png"]):
        with pytest.raises(CarvanaError, match="is one of the photos and would be replaced: name another folder"):
            predict_files(model, config, [tmp_path / name for name in names], tmp_path / "sub" / "..")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(predict_files(model, config, [tmp_path / "a.png", tmp_path / "a_mask.png"], tmp_path / "out")) == 2


def test_photos_in_memory_of_any_colour_mode_get_the_mask_of_their_file(model_and_config, tmp_path):
    model, config = model_and_config
    photo = draw(99, 3)[0]
    grey = np.asarray(photo.convert("L"))
    photo.save(tmp_path / "rgb.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    in_colour = predict_photo(model, tmp_path / "rgb.png", config.size)
    in_grey = predict_photo(model, tmp_path / "grey.png", config.size)
    assert np.abs(in_colour - in_grey).max() > 0.01
    opaque = np.asarray(photo.convert("RGBA"))
    for same in (photo, np.asarray(photo), opaque, photo.convert("RGBA"), np.asfortranarray(np.asarray(photo))):
        np.testing.assert_array_equal(predict_array(model, same, config.size), in_colour)
        np.testing.assert_array_equal(predict_tiled(model, same, config.size, 48, 8).shape, in_colour.shape)
    for same in (grey, grey[..., None], Image.fromarray(grey), np.dstack([grey] * 3)):
        np.testing.assert_array_equal(predict_array(model, same, config.size), in_grey)


@pytest.mark.parametrize("predict", [predict_array, predict_tiled])
def test_what_is_no_photo_is_refused_in_one_line(model_and_config, predict):
    photo = np.asarray(draw(99, 3)[0])
    turned = Image.fromarray(photo)
    turned.getexif()[0x0112] = 6
    wrong = {
        r"not float64 \(64, 96, 3\): .*\(255 \* photo\).astype": photo / 255,
        r"not float32": photo.astype(np.float32),
        r"not uint16": photo.astype(np.uint16),
        r"not bool": photo > 100,
        r"not a Tensor, uint8": torch.from_numpy(photo.copy()),
        r"not uint8 \(1, 64, 96, 3\)": photo[None],
        r"not uint8 \(3, 64, 96\)": photo.transpose(2, 0, 1),
        r"not uint8 \(64, 96, 2\)": photo[..., :2],
        r"not uint8 \(0, 96, 3\)": photo[:0],
        "not a str": "photo.jpg",
        "not upright: turn it": turned,
    }
    for message, value in wrong.items():
        with pytest.raises(ValueError, match=message) as error:
            predict(*model_and_config[:1], value, model_and_config[1].size)
        assert "\n" not in str(error.value)


def test_a_batch_that_may_end_at_1_or_at_255_is_refused(model_and_config):
    images = torch.zeros(1, 3, 32, 48)
    for wrong in (images, images.long()):
        with pytest.raises(ValueError, match="images must be uint8, 0 to 255, not a Tensor, "):
            predict_logits(model_and_config[0], wrong)
