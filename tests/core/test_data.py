import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CARS, SIZE, VIEWS, car_name, draw, write_pair
from PIL import Image

from carvana_lib.base.data_folder import several
from carvana_lib.base.errors import CarvanaError
from carvana_lib.data import (
    SAMPLE,
    TEST_FOLD,
    TRAINING_FOLDS,
    VALIDATION_FOLD,
    CarvanaDataset,
    Pair,
    car_fold,
    find_data,
    held_out_fold,
    list_pairs,
)
from carvana_lib.images import read_mask, read_pair, read_photo
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.prepare.doctor import check_data


def test_fold_is_the_last_decimal_digit_of_the_car():
    assert car_fold("0cdf5b5d0ce1") == int("0cdf5b5d0ce1", 16) % 10
    assert [car_fold(car_name(number)) for number in CARS] == [0, 1, 1, 2, 3, 4, 5, 6]


def test_every_fold_has_one_purpose():
    assert (TEST_FOLD, VALIDATION_FOLD, TRAINING_FOLDS) == (0, 1, (2, 3, 4, 5, 6, 7, 8, 9))


def test_a_name_gives_the_car_its_fold_and_the_view():
    pair = Pair("0cdf5b5d0ce1_16", Path(), Path())
    assert (pair.car, pair.fold, pair.view) == ("0cdf5b5d0ce1", car_fold("0cdf5b5d0ce1"), 16)


def test_pairs_are_sorted_and_no_car_is_in_two_folds(carvana):
    pairs = list_pairs(carvana)
    assert [pair.name for pair in pairs] == sorted(f"{car_name(n)}_{v:02d}" for n in CARS for v in VIEWS)
    chosen = list_pairs(carvana, [1, 3])
    assert {pair.car for pair in chosen} == {car_name(11), car_name(21), car_name(13)}
    assert {pair.view for pair in chosen} == set(VIEWS)


def test_the_first_cars_of_each_fold(carvana):
    assert {pair.car for pair in list_pairs(carvana, cars=1)} == {car_name(n) for n in CARS if n != 21}
    assert [pair.car for pair in list_pairs(carvana, [1], cars=1)] == [car_name(11)] * len(VIEWS)
    assert list_pairs(carvana, [0, 1], cars=2) == list_pairs(carvana, [0, 1])


def test_without_test_cars_the_validation_cars_are_held_out_and_a_line_says_so(carvana, tmp_path, capsys):
    assert held_out_fold(carvana) == TEST_FOLD
    assert capsys.readouterr().err == ""
    write_pair(tmp_path, 11, 1)
    assert held_out_fold(tmp_path) == VALIDATION_FOLD
    assert "No cars for the final test (fold 0)" in capsys.readouterr().err


def test_a_fold_without_cars_is_an_error(carvana):
    with pytest.raises(CarvanaError, match=r"no cars of fold \[9\]"):
        list_pairs(carvana, [9])


def test_data_are_looked_for_in_the_stated_order(carvana, broken, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "nothing")
    write_pair(tmp_path / "data" / "carvana", 10, 1)
    assert find_data().resolve() == tmp_path / "data" / "carvana"
    monkeypatch.setenv("CARVANA_DATA", str(broken))
    assert find_data() == broken
    assert "$CARVANA_DATA" in capsys.readouterr().err
    assert find_data(carvana) == carvana
    assert capsys.readouterr().err == f"Data: {carvana} (as asked): 8 cars, 32 photos\n"
    assert find_data(SAMPLE, quiet=True) == SAMPLE
    assert capsys.readouterr().err == ""
    find_data(carvana, quiet=True)  # the notebooks: their text describes the sample
    assert capsys.readouterr().err == f"Data: {carvana} (as asked): 8 cars, 32 photos\n"


def test_a_named_folder_is_never_passed_over(monkeypatch, tmp_path):
    write_pair(tmp_path / "data" / "carvana", 10, 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARVANA_DATA", str(tmp_path / "gone"))
    with pytest.raises(CarvanaError, match="no folder"):
        find_data()


@pytest.mark.parametrize("mount", ["carvana-image-masking-challenge", "competitions/carvana-image-masking-challenge"])
def test_kaggles_unpacked_photos_are_taken_at_both_places(carvana, monkeypatch, tmp_path, capsys, mount):
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "carvana-image-masking-challenge")
    (tmp_path / mount).parent.mkdir(exist_ok=True)
    (tmp_path / mount).symlink_to(carvana, target_is_directory=True)
    assert find_data() == tmp_path / mount
    assert capsys.readouterr().err == f"Data: {tmp_path / mount} (found here): 8 cars, 32 photos\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_kaggles_zips_are_passed_over_with_one_line_that_says_how_to_use_them(monkeypatch, tmp_path, capsys, quiet):
    place = tmp_path / "input" / "competitions" / "carvana-image-masking-challenge"
    place.mkdir(parents=True)
    for name in ("train.zip", "train_masks.zip"):
        (place / name).write_bytes(b"PK")
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "input" / place.name)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK or not Path(path).is_relative_to(place))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("carvana_lib.data.__file__", str(tmp_path / "lib" / "data.py"))
    command = f"`carvana download data/carvana --zips {place}` unpacks it into data/carvana"
    with pytest.raises(
        CarvanaError, match=rf"no Carvana data found: Not used: .*train\.zip is still packed: {command}"
    ):
        find_data(quiet=quiet)
    write_pair(tmp_path / "data" / "sample", 10, 1)
    assert find_data(quiet=quiet) == Path("data/sample")
    said = f"Data: data/sample (found here): 1 cars, 1 photos. Not used: {place}/train.zip is still packed: {command}\n"
    assert capsys.readouterr().err == said
    # Once they are unpacked there, nothing is left to do.
    write_pair(tmp_path / "data" / "carvana", 11, 1)
    assert find_data(quiet=quiet) == Path("data/carvana")
    assert capsys.readouterr().err == "Data: data/carvana (found here): 1 cars, 1 photos\n"


def test_the_home_directory_may_be_a_tilde(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    write_pair(tmp_path / "cars", 10, 1)
    monkeypatch.setenv("CARVANA_DATA", "~/cars")
    assert find_data() == find_data("~/cars") == tmp_path / "cars"
    assert list_pairs("~/cars") == list_pairs(tmp_path / "cars")


def test_a_missing_fold_is_explained(broken):
    with pytest.raises(CarvanaError) as caught:
        list_pairs(broken, [5, 7])
    for part in (
        f"{broken} holds no cars of fold [5, 7], only of [0, 1, 2]: a car's fold is its id",
        "a hexadecimal number, modulo 10",
        "(0 test, 1 validation, 2 to 9 training)",
        "add such cars, or use another folder as well",
    ):
        assert part in str(caught.value)


def test_advice_names_only_folders_that_are_there(broken, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (broken / "notes.txt").write_text("mine")
    layout = r"a folder that holds train/ with the photos \(<car>_<view>\.jpg\) and train_masks/ with their masks"
    for place, advice in (
        (empty, rf"holds no train/ folder: use {layout}"),
        (tmp_path / "notes.txt", rf"is a file: name {layout}"),
        (broken / "notes.txt", rf"is a file: name the folder {broken}$"),
        (list_pairs(broken)[0].photo, rf"is a file: name the folder {broken}$"),
        (broken / "train", rf"holds no train/ folder: name the folder above it, {broken}$"),
    ):
        with pytest.raises(CarvanaError, match=advice):
            list_pairs(place)


def test_without_data_the_error_says_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "nothing")
    monkeypatch.setattr("carvana_lib.data.__file__", str(tmp_path / "lib" / "data.py"))
    with pytest.raises(CarvanaError, match=r"download https://www\.kaggle\.com/"):
        find_data()


def _remove_all(folder):
    for file in folder.iterdir():
        file.unlink()


def _pack(root):
    _remove_all(root / "train")
    (root / "train").rmdir()
    (root / "train.zip").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: _remove_all(root / "train"), "train holds no photos: put the"),
        (_pack, r"train\.zip is still packed: unzip it"),
        (lambda root: (root / "train_masks").rename(root / "masks"), "holds no train_masks/ folder"),
        (lambda root: (root / "train").rename(root / "photos"), "holds no train/ folder"),
        (lambda root: next((root / "train_masks").iterdir()).unlink(), r"_01\.jpg has no mask: add .*_mask\.gif"),
        (lambda root: (root / "train" / "holiday.jpg").write_bytes(b""), r"holiday\.jpg is not named"),
        (lambda root: (root / "train" / f"{car_name(10)}_01.png").write_bytes(b""), "the same view of the same car"),
    ],
)
def test_a_damaged_folder_is_named_with_its_cure(broken, damage, message):
    damage(broken)
    with pytest.raises(CarvanaError, match=message) as caught:
        list_pairs(broken)
    assert "\n" not in str(caught.value)


def test_a_packed_folder_and_a_missing_one(tmp_path):
    (tmp_path / "carvana.zip").write_bytes(b"PK")
    with pytest.raises(CarvanaError, match="is a file: unpack it"):
        list_pairs(tmp_path / "carvana.zip")
    with pytest.raises(CarvanaError, match="no folder"):
        list_pairs(tmp_path / "gone")


def test_hidden_and_other_files_do_not_matter(broken):
    for name in (".DS_Store", "._0000_01.jpg", "Thumbs.db"):
        (broken / "train" / name).write_bytes(b"x")
    assert len(list_pairs(broken)) == 3


def test_masks_may_be_png_and_photos_may_be_hq(tmp_path):
    write_pair(tmp_path, 12, 1, mask_suffix=".png")
    (tmp_path / "train").rename(tmp_path / "train_hq")
    pair = list_pairs(tmp_path)[0]
    assert pair.mask.suffix == ".png"
    assert (read_mask(pair.mask) == draw(12, 1)[1]).all()


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_masks_are_read_without_change(tmp_path, suffix):
    mask = draw(3, 1)[1]
    Image.fromarray(mask).save(tmp_path / f"mask{suffix}")
    read = read_mask(tmp_path / f"mask{suffix}")
    assert read.dtype == bool
    assert (read == mask).all()


def test_a_mask_of_zeros_and_ones_is_a_mask(tmp_path):
    mask = draw(3, 1)[1]
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == mask).all()


def test_an_anti_aliased_mask_is_refused(tmp_path):
    Image.fromarray(np.array([[0, 128], [255, 255]], dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(CarvanaError, match=r"mask\.png is not two-valued"):
        read_mask(tmp_path / "mask.png")


def test_a_mask_of_another_size_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 6), dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(CarvanaError, match=r"mask\.png is 6x4 but its photo is 6x5"):
        read_mask(tmp_path / "mask.png", photo_size=(6, 5))


def test_masks_are_averaged_when_made_smaller(tmp_path):
    mask = draw(3, 1)[1]
    Image.fromarray(mask).save(tmp_path / "mask.gif")
    soft = read_mask(tmp_path / "mask.gif", (24, 16))
    means = mask.reshape(16, 4, 24, 4).mean((1, 3))
    assert np.abs(soft / 255 - means).max() < 1 / 255
    assert ((soft > 0) & (soft < 255)).sum() > 0


def test_photos_are_averaged_when_made_smaller(tmp_path):
    photo = np.asarray(draw(3, 1)[0])
    Image.fromarray(photo).save(tmp_path / "photo.png")
    small = read_photo(tmp_path / "photo.png", (24, 16))
    assert np.abs(small - photo.reshape(16, 4, 24, 4, 3).mean((1, 3))).max() <= 1


def test_reduced_jpeg_decoding_changes_less_than_one_grey_level(tmp_path):
    draw(3, 1, (1918, 1280))[0].resize((1918, 1280)).save(tmp_path / "photo.jpg", quality=90)
    quick = read_photo(tmp_path / "photo.jpg", (240, 160)).astype(float)
    with Image.open(tmp_path / "photo.jpg") as image:
        full = np.asarray(image.resize((240, 160), Image.Resampling.BOX), dtype=float)
    assert np.abs(quick - full).mean() < 1


def test_the_exif_turn_is_applied(tmp_path):
    photo = draw(3, 1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    read = read_photo(tmp_path / "turned.jpg")
    assert read.shape == (96, 64, 3)
    assert np.abs(read.astype(float) - np.rot90(np.asarray(photo), -1)).mean() < 8
    assert read_photo(tmp_path / "turned.jpg", (16, 24)).shape == (24, 16, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1", "I;16"])
def test_photos_of_any_mode_become_rgb(tmp_path, mode):
    photo = draw(3, 1)[0]
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    else:
        image = photo.convert(mode)
    image.save(tmp_path / "photo.tiff")
    read = read_photo(tmp_path / "photo.tiff")
    assert read.shape == (64, 96, 3)
    assert np.abs(read.mean() - np.asarray(photo).mean()) < 20


@pytest.mark.parametrize("reader", [read_photo, read_mask])
def test_unusable_files_are_named(tmp_path, reader):
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(CarvanaError, match=r"text\.jpg is not an image"):
        reader(tmp_path / "text.jpg")
    draw(3, 1)[0].save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CarvanaError, match=r"cut\.jpg is damaged .*truncated"):
        reader(tmp_path / "cut.jpg")
    with pytest.raises(CarvanaError, match=r"no file .*gone\.jpg"):
        reader(tmp_path / "gone.jpg")


def test_dataset_items(carvana):
    dataset = CarvanaDataset(list_pairs(carvana), (48, 32))
    image, mask = dataset[5]
    assert (image.shape, str(image.dtype)) == ((3, 32, 48), "torch.uint8")
    assert (mask.shape, str(mask.dtype)) == ((1, 32, 48), "torch.float32")
    assert mask.min() == 0
    assert mask.max() == 1
    pair = dataset.pairs[5]
    assert (dataset.native_mask(5) == draw(int(pair.car, 16), pair.view)[1]).all()
    assert len(list(dataset)) == len(dataset) == 32
    with pytest.raises(IndexError):
        dataset[32]


def test_a_batch_is_its_items(carvana):
    dataset = CarvanaDataset(list_pairs(carvana), (48, 32))
    images, masks = dataset.batch([7, 2])
    assert (images[0] == dataset[7][0]).all()
    assert (masks[1].float() / 255 == dataset[2][1]).all()
    assert (dataset.masks()[2] == masks[1, 0].numpy()).all()


def test_kept_photos_are_the_cached_ones(carvana, tmp_path):
    dataset = cached_dataset(list_pairs(carvana), (48, 32), tmp_path, progress=False)
    before = dataset.batch([31, 2, 0])
    assert not dataset.keep_on(torch.device("cpu"))
    assert not dataset.keep_on(torch.device("cpu"), free=2 * 32 * 48 * 32 * 4 - 1)
    assert dataset.keep_on(torch.device("cpu"), free=2 * 32 * 48 * 32 * 4)
    dataset.arrays, dataset.pairs = None, []  # only the kept ones are left
    for ours, theirs in zip(dataset.batch([31, 2, 0]), before, strict=True):
        assert ours.dtype == torch.uint8
        assert torch.equal(ours, theirs)


def test_further_faults_are_counted():
    assert several(["one"]) == "one"
    assert several(["one", "two", "three"]) == "one (and 2 more faults: `carvana check-data` lists them)"


def test_a_reduced_jpeg_lies_where_its_mask_lies(tmp_path):
    # 1918 is not a whole number of eights or fours: decoded at 480 pixels, the photo would be moved.
    row = np.uint8(255 * (np.arange(1918) < 1800))
    Image.fromarray(np.tile(row, (1280, 1))).save(tmp_path / "edge.jpg", quality=95)
    read = read_photo(tmp_path / "edge.jpg", (240, 160))[80, :, 0] / 255
    assert abs(read.sum() - 240 * 1800 / 1918) < 0.05


_IN_WORDS = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0"
_OF_NINE = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0"


@pytest.mark.parametrize("note", [b"Exif\0\0garbagegarbage", _IN_WORDS, _OF_NINE])
def test_an_exif_note_that_makes_no_sense_turns_nothing(tmp_path, note):
    photo, mask = draw(10, 1)
    name = write_pair(tmp_path, 10, 1)
    photo.save(tmp_path / "train" / f"{name}.jpg", exif=note, quality=95)
    pair = list_pairs(tmp_path)[0]
    assert np.abs(read_photo(pair.photo).astype(float) - np.asarray(photo)).mean() < 8
    assert CarvanaDataset([pair], SIZE)[0][0].shape == (3, 64, 96)
    assert (read_mask(pair.mask) == mask).all()


def test_a_photo_broken_after_its_header_is_damaged(tmp_path):
    name = write_pair(tmp_path, 10, 1)
    path = tmp_path / "train" / f"{name}.jpg"
    draw(10, 1)[0].save(path, "PNG")
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    broken = content[:start] + bytes(len(content) - start - 16) + content[-16:]
    checksum = zlib.crc32(broken[start - 4 : -16]).to_bytes(4, "big")
    path.write_bytes(broken[:-16] + checksum + content[-12:])
    with pytest.raises(CarvanaError, match=rf"{name}\.jpg (is damaged|cannot be read)"):
        CarvanaDataset(list_pairs(tmp_path), SIZE)[0]


def test_greys_of_more_than_8_bits(tmp_path):
    greys = np.asarray(draw(3, 1)[0].convert("L"))
    header = b"P5 %d %d 65535\n" % SIZE
    (tmp_path / "photo.pgm").write_bytes(header + (greys.astype(">u2") * 257).tobytes())
    assert np.abs(read_photo(tmp_path / "photo.pgm")[..., 0].astype(int) - greys).max() <= 1
    for kind in (np.int32, np.float32):
        Image.fromarray(greys.astype(kind)).save(tmp_path / "photo.tiff")
        with pytest.raises(CarvanaError, match=r"photo\.tiff has 32-bit greys.*save it as 8-bit"):
            read_photo(tmp_path / "photo.tiff")
    # Its soft edge would be cut off at 255 and all of it taken for car.
    Image.fromarray(np.array([[0, 300, 40_000, 65_535]], np.uint16)).save(tmp_path / "mask.png")
    with pytest.raises(CarvanaError, match=r"mask\.png has more than 8 bits a pixel: threshold it"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("cached", [False, True])
def test_batches_of_any_kind_of_indices(carvana, tmp_path, cached):
    pairs = list_pairs(carvana)
    dataset = cached_dataset(pairs, (48, 32), tmp_path, progress=False) if cached else CarvanaDataset(pairs, (48, 32))
    expected = dataset.batch([3, 5])[0]
    for indices in ((3, 5), range(3, 6, 2), np.array([3, 5]), torch.tensor([3, 5])):
        assert torch.equal(dataset.batch(indices)[0], expected)
    with pytest.raises(ValueError, match="no photos asked for"):
        dataset.batch([])


@pytest.mark.parametrize("where", ["PIL.Image.open", "carvana_lib.images.two_colours", "carvana_lib.images.to_rgb"])
def test_a_full_memory_is_no_fault_of_a_file(broken, monkeypatch, where):
    pair = list_pairs(broken)[0]

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(where, fail)
    with pytest.raises(MemoryError):
        read_pair(pair.photo, pair.mask, (48, 32))
    if "to_rgb" not in where:
        with pytest.raises(MemoryError):
            check_data(broken, progress=False)


def test_what_a_palette_leaves_out_is_no_colour(tmp_path):
    car = np.zeros((8, 12), np.uint8)
    car[2:5, 3:9] = 1
    picture = Image.fromarray(np.where(car, 0, 5).astype(np.uint8), "P")
    picture.putpalette([255] * 768)
    picture.save(tmp_path / "mask.png", bits=8)
    content = (tmp_path / "mask.png").read_bytes()
    start = content.index(b"PLTE")
    length = int.from_bytes(content[start - 4 : start], "big")
    two = b"PLTE" + content[start + 4 : start + 10]
    rest = content[start + 4 + length + 4 :]
    short = content[: start - 4] + (6).to_bytes(4, "big") + two + zlib.crc32(two).to_bytes(4, "big") + rest
    (tmp_path / "mask.png").write_bytes(short)
    with pytest.raises(
        CarvanaError, match=r"mask\.png is damaged \(its palette leaves out colours that its pixels use\)"
    ):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "L", "P"])
@pytest.mark.parametrize("level", [1, 255])
def test_two_values_of_any_kind_are_a_mask(tmp_path, mode, level):
    car = np.zeros((8, 12), np.uint8)
    car[2:5, 3:9] = level
    picture = Image.fromarray(car)
    picture = picture.point(lambda value: 255 * (value > 0), "1") if mode == "1" else picture.convert(mode)
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), car > 0)


def test_a_photo_is_no_mask(tmp_path):
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(CarvanaError, match=r"anti-aliased, not two-valued \(it has hundreds of colours\)"):
        read_mask(tmp_path / "mask.png")


def test_bytes_behind_a_progressive_photo_are_no_scans(tmp_path):
    Image.new("RGB", (64, 48), (9, 99, 199)).save(tmp_path / "a.jpg", progressive=True)
    with open(tmp_path / "a.jpg", "ab") as file:
        file.write(b"\xff\xda\x01" * 1000)
    assert read_photo(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_several_folders_are_used_together(carvana, tmp_path):
    write_pair(tmp_path / "more", 31, 1)
    pairs = list_pairs([carvana, tmp_path / "more"])
    assert pairs == list_pairs(carvana) + list_pairs(tmp_path / "more")
    assert [pair.car for pair in list_pairs([carvana, tmp_path / "more"], [1])][-1] == car_name(31)
    with pytest.raises(CarvanaError, match=r"carvana\d* and .*more holds no cars of fold \[9\], only of"):
        list_pairs([carvana, tmp_path / "more"], [9])
    write_pair(tmp_path / "again", 11, 1)
    with pytest.raises(CarvanaError, match="another data folder has too"):
        list_pairs([carvana, tmp_path / "again"])


def _raw_tiff(values: np.ndarray, photometric: int) -> bytes:
    """A TIFF of bool, uint8 or uint16 values as they are. Pillow would not write the numbers that a scanner writes."""
    data = (
        np.packbits(values, axis=1).tobytes() if values.dtype == bool else values.astype(values.dtype.newbyteorder("<"))
    )
    data = bytes(data)
    bits = 1 if values.dtype == bool else 8 * values.itemsize
    height, width = values.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<L", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


def _raw_png(values: np.ndarray, bits: int, colours: int, hidden: bytes = b"") -> bytes:
    """A PNG of grey (`colours` 0) or RGB (2) values of 4 or 16 bits; `hidden` is the colour that is transparent."""
    height, width = values.shape[:2]
    if bits == 16:
        rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        rows = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colours, 0, 0, 0)), (b"tRNS", hidden)]
    chunks = [chunk for chunk in chunks if chunk[1]] + [(b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))
        for kind, content in chunks
    )


RAMP = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (64, 1))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14])
def test_16_bit_greys_that_use_few_bits_are_not_dark(tmp_path, bits, suffix):
    path, values = tmp_path / f"photo{suffix}", RAMP.astype(np.uint16) << (bits - 8)
    values[5, 5] = 65_535  # a broken pixel of the camera
    Image.fromarray(values).save(path)
    read = read_photo(path).astype(int)
    read[5, 5] = RAMP[5, 5]
    assert np.abs(read - RAMP[..., None]).max() <= 1
    # A microscope's picture that is neither black nor white anywhere.
    Image.fromarray(values // 4 + np.uint16(3000)).save(path)
    read = read_photo(path).astype(int)
    read[5, 5] = RAMP[5, 5]
    assert np.abs(read - RAMP[..., None]).max() <= 2 ** max(0, 10 - bits)


def test_16_bit_greys_of_the_full_range_stay(tmp_path):
    values = np.random.default_rng(0).integers(3000, 2**15 + 500, (64, 96)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "photo.png")
    assert (read_photo(tmp_path / "photo.png")[..., 1] == values >> 8).all()


def test_16_bit_colours_that_use_few_bits_are_refused(tmp_path):
    values = np.repeat(RAMP.astype(np.uint16)[..., None], 3, 2)
    (tmp_path / "photo.png").write_bytes(_raw_png(values << 4, 16, 2))
    with pytest.raises(CarvanaError, match=r"photo\.png has 16-bit colours .* nearly black: save it as 8-bit"):
        read_photo(tmp_path / "photo.png")
    (tmp_path / "photo.png").write_bytes(_raw_png(values << 8, 16, 2))
    assert (read_photo(tmp_path / "photo.png") == RAMP[..., None]).all()


@pytest.mark.parametrize("kind", ["1-bit", "8-bit", "16-bit", "12 of 16 bits"])
def test_a_tiff_in_which_0_is_white_is_no_negative(tmp_path, kind):
    greys = np.uint8(255 * (RAMP > 99)) if kind == "1-bit" else RAMP
    values = {
        "1-bit": greys > 0,
        "8-bit": greys,
        "16-bit": greys.astype(np.uint16) * 257,
        "12 of 16 bits": greys.astype(np.uint16) << 4,
    }[kind]
    for photometric, right in ((0, 255 - greys), (1, greys)):
        (tmp_path / "photo.tif").write_bytes(_raw_tiff(values, photometric))
        assert np.abs(read_photo(tmp_path / "photo.tif").astype(int) - right[..., None]).max() <= 1
        if kind == "1-bit":
            assert (read_mask(tmp_path / "photo.tif") == (right > 0)).all()


def _half_hidden(kind: str, path: Path) -> None:
    """The ramp with its upper half transparent, over colours that nobody should see."""
    greys = np.where(np.arange(64)[:, None] < 32, 7, RAMP.clip(20)).astype(np.uint8)
    alpha = np.uint8(255 * (np.arange(64)[:, None] >= 32) * np.ones((1, 96)))
    rgba = Image.fromarray(np.dstack([greys, greys, greys, alpha]))
    if kind in ("RGBA", "LA"):
        rgba.convert(kind).save(path, "PNG")
    elif kind in ("WEBP", "TIFF"):
        rgba.save(path, kind, lossless=True)
    elif kind in ("GIF", "palette", "moving GIF"):
        # Colour 7 is hidden.
        options = {"save_all": True, "append_images": [Image.new("P", (96, 64), 9)]} if kind == "moving GIF" else {}
        picture = Image.fromarray(greys, "P")
        picture.putpalette([value for grey in range(256) for value in (grey, 255 - grey, grey)])
        picture.save(path, "PNG" if kind == "palette" else "GIF", transparency=7, **options)
    elif kind == "palette of shares":
        picture = Image.fromarray(greys, "P")
        picture.putpalette([value for grey in range(256) for value in (grey, grey, grey)])
        picture.save(path, "PNG", transparency=bytes(0 if grey == 7 else 255 for grey in range(256)))
    elif kind == "4-bit grey":
        path.write_bytes(_raw_png(np.where(greys == 7, 3, 10), 4, 0, b"\0\3"))
    elif kind == "16-bit grey":
        path.write_bytes(_raw_png(greys.astype(np.uint16) * 257, 16, 0, b"\7\7"))
    else:
        path.write_bytes(_raw_png(np.repeat(greys.astype(np.uint16)[..., None] * 257, 3, 2), 16, 2, b"\7\7" * 3))


@pytest.mark.parametrize(
    "kind",
    ["RGBA", "LA", "WEBP", "TIFF", "GIF", "palette", "moving GIF", "palette of shares"]
    + ["4-bit grey", "16-bit grey", "16-bit colours"],
)
def test_transparent_parts_are_laid_on_white(tmp_path, kind):
    _half_hidden(kind, tmp_path / "photo")
    read = read_photo(tmp_path / "photo")
    assert (read[:32] == 255).all()
    seen = np.full((32, 96), 170) if kind == "4-bit grey" else RAMP[32:].clip(20)
    assert np.abs(read[32:, :, 0].astype(int) - seen).max() <= 1
    # Made smaller, it is the same picture.
    assert (read_photo(tmp_path / "photo", (24, 16))[:8] == 255).all()


def test_what_is_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 100, 255, 51)).save(tmp_path / "photo.png")
    assert (read_photo(tmp_path / "photo.png") == (204, 224, 255)).all()
    Image.new("RGBA", (8, 8), (0, 100, 255, 0)).save(tmp_path / "photo.png")
    with pytest.raises(CarvanaError, match=r"photo\.png is transparent everywhere: save it without"):
        read_photo(tmp_path / "photo.png")


def _turned_pair(root: Path, size: tuple[int, int], turn: int, photo_end: str, mask_note: int) -> Pair:
    """A pair whose photo and mask are stored as the EXIF note says; `mask_note` is the mask's own note."""
    back = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # what Pillow calls the way from the displayed to the stored photo
    photo, mask = draw(10, 1, size)
    turned = Image.fromarray(mask.astype(np.uint8) * 255).transpose(Image.Transpose(back[turn]))
    note = Image.Exif()
    note[0x0112] = turn
    own = Image.Exif()
    own[0x0112] = mask_note
    photo.transpose(Image.Transpose(back[turn])).save(root / f"photo{photo_end}", exif=note, **{"quality": 95})
    turned.save(root / "mask.png", exif=own)
    return Pair("0", root / f"photo{photo_end}", root / "mask.png")


@pytest.mark.parametrize("photo_end", [".jpg", ".tif"])
@pytest.mark.parametrize("turn", [2, 3, 4, 5, 6, 7, 8])
def test_a_turn_that_the_size_does_not_show_is_refused(tmp_path, turn, photo_end):
    pair = _turned_pair(tmp_path, (64, 64), turn, photo_end, 1)
    with pytest.raises(
        CarvanaError, match=rf"photo\{photo_end} is turned .*orientation {turn}.*-auto-orient"
    ) as caught:
        CarvanaDataset([pair], (64, 64))[0]
    assert "\n" not in str(caught.value)
    # The mask has the same note: both are turned.
    pair = _turned_pair(tmp_path, (64, 64), turn, photo_end, turn)
    image, mask = CarvanaDataset([pair], (64, 64))[0]
    photo, right = draw(10, 1, (64, 64))
    assert (mask[0].numpy() == right).all()
    assert np.abs(image.numpy().astype(float) - np.asarray(photo).transpose(2, 0, 1)).mean() < 8


@pytest.mark.parametrize("photo_end", [".jpg", ".tif"])
@pytest.mark.parametrize("turn", [3, 6])
def test_a_turned_photo_of_two_sides(tmp_path, turn, photo_end):
    pair = _turned_pair(tmp_path, (96, 64), turn, photo_end, 1)
    # On its side, the mask of the stored pixels has another size; upside down it has the same.
    with pytest.raises(CarvanaError, match="but its photo is 96x64" if turn == 6 else "-auto-orient"):
        read_pair(pair.photo, pair.mask, (48, 32))
    Image.fromarray(draw(10, 1)[1]).save(pair.mask)
    if turn == 6:
        image, mask = read_pair(pair.photo, pair.mask, (96, 64))
        assert ((mask > 127) == draw(10, 1)[1]).all()
        assert np.abs(image.astype(float) - np.asarray(draw(10, 1)[0])).mean() < 8


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".TIFF", ".webp"])
def test_pairs_in_other_formats_and_in_capitals(tmp_path, suffix):
    lower, upper = write_pair(tmp_path, 0xABC, 1), write_pair(tmp_path, 0xABC, 2)
    for number, (folder, end) in enumerate((("train", ""), ("train_masks", "_mask")), 1):
        for name, old in ((lower, ".jpg"), (upper, ".jpg")) if not end else ((lower, ".gif"), (upper, ".gif")):
            # Once the photo's name has capitals, once the mask's.
            new = name.upper() if name.endswith(str(number)) else name
            file = tmp_path / folder / f"{name}{end}{old}"
            Image.open(file).save(file.with_name(f"{new}{end}{suffix}"), lossless=True)
            file.unlink()
    pairs, faults = check_data(tmp_path, progress=False)
    assert faults == []
    assert list_pairs(tmp_path) == pairs
    assert [pair.name for pair in pairs] == [lower, upper]
    assert [pair.fold for pair in pairs] == [0xABC % 10] * 2
    for pair in pairs:
        assert {pair.photo.suffix, pair.mask.suffix} == {suffix}
        assert (read_mask(pair.mask) == draw(0xABC, pair.view)[1]).all()
        assert np.abs(read_photo(pair.photo).astype(int) - np.asarray(draw(0xABC, pair.view)[0])).mean() < 8
    # Names in capitals come before all others in a listing, but not in the pairs.
    write_pair(tmp_path, 0xAB, 9)
    assert [pair.name for pair in list_pairs(tmp_path)] == [f"{0xAB:012x}_09", lower, upper]
