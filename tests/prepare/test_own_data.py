"""Data sets that are not Carvana's: ten layouts, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import draw, tiny
from PIL import Image

from carvana_lib.base.described import FEW_GROUPS, describe, read_description, scan_described, split_groups
from carvana_lib.base.errors import CarvanaError
from carvana_lib.cli.main import main
from carvana_lib.data import list_pairs
from carvana_lib.images import read_mask
from carvana_lib.run.fit import fit

PHOTOS = 12


def pictures(count=PHOTOS, size=(96, 64)):
    """Photos and bool masks, drawn on the spot."""
    return [draw(100 + number, 1, size) for number in range(count)]


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)


def milesial(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "imgs" / f"{i:03}.jpg")
        save(mask.astype(np.uint8) * 255, root / "masks" / f"{i:03}_mask.gif")


def zeros_and_ones(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "images" / f"leaf number {i}.jpg")
        save(mask.astype(np.uint8), root / "labels" / f"leaf number {i}.png")


def side_by_side(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / f"x{i}.png")
        save(mask.astype(np.uint8) * 255, root / f"x{i}_mask.png")


def voc(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "JPEGImages" / f"2007_{i:06}.jpg")
        palette = Image.fromarray(mask.astype(np.uint8), "P")
        palette.putpalette([0, 0, 0, 128, 0, 0])
        save(palette, root / "SegmentationClass" / f"2007_{i:06}.png")


def grey_tiff(root):
    for i, (photo, mask) in enumerate(pictures()):
        grey = np.asarray(photo.convert("L")).astype(np.uint16) * 16  # 12 of 16 bits
        save(grey, root / "images" / f"cell_{i}.tif")
        save(mask.astype(np.uint8) * 255, root / "masks" / f"cell_{i}-mask.bmp")


def patients(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "scans" / f"patient{i // 3:02}_slice{i % 3}.png")
        save(mask.astype(np.uint8) * 255, root / "truth" / f"patient{i // 3:02}_slice{i % 3}_seg.png")
    text = "photos = 'scans'\nmasks = 'truth/{name}_seg.png'\ngroup = '(patient\\d+)_'\n"
    (root / "dataset.toml").write_text(text)


def a_folder_a_case(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / f"case{i}" / "image.png")
        save(mask.astype(np.uint8) * 255, root / f"case{i}" / "mask.png")
    (root / "dataset.toml").write_text('photos = "case*/image.png"\nmasks = "{folder}/mask.png"\n')


def numbered_cells(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo.convert("L"), root / "images" / f"dish{i // 2:02}_{i % 2}.png")
        numbers = mask * (1 + np.arange(96) // 10 * 40).astype(np.uint16)  # 1 to 361: more than 8 bits
        save(numbers, root / "labels" / f"dish{i // 2:02}_{i % 2}.png")
    text = "photos = 'images'\nmasks = 'labels/{name}.png'\ngroup = '(dish\\d+)_'\nclasses = ['background', 'cell']\n"
    (root / "dataset.toml").write_text(text)


def mixed_sizes(root):
    for i, (photo, mask) in enumerate([*pictures(6, (96, 64)), *pictures(6, (50, 80))]):
        save(photo, root / "Photos" / f"{i}.JPG", format="JPEG")
        save(mask.astype(np.uint8) * 255, root / "Masks" / f"{i}.png")


def parts(mask):
    """Class numbers: background, what was drawn, a window in it; 255 along the left side, which nobody labelled."""
    labels = mask.astype(np.uint8)
    labels[mask.shape[0] // 3 : mask.shape[0] // 2] *= 2
    labels[:, :4] = 255
    return labels


def voc_classes(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "JPEGImages" / f"2007_{i:06}.jpg")
        palette = Image.fromarray(parts(mask), "P")
        palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 756 + [224, 224, 192])
        save(palette, root / "SegmentationClass" / f"2007_{i:06}.png")
    text = "photos = 'JPEGImages'\nmasks = 'SegmentationClass/{name}.png'\n"
    (root / "dataset.toml").write_text(text + "classes = ['background', 'boat', 'sail']\nignore = 255\n")


def camvid(root):
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, root / "701_StillsRaw" / f"Seq{i // 4}_{i:05}.png")
        table = np.zeros((256, 3), np.uint8)
        table[:3] = [[128, 64, 128], [64, 0, 128], [128, 128, 128]]
        save(table[parts(mask)], root / "LabeledApproved" / f"Seq{i // 4}_{i:05}_L.png")
    text = "photos = '701_StillsRaw'\nmasks = 'LabeledApproved/{name}_L.png'\ngroup = '(Seq\\d+)_'\n"
    text += "classes = ['road', 'car', 'sky']\ncolours = {road = '#804080', car = '#400080', sky = '#808080'}\n"
    (root / "dataset.toml").write_text(text + "ignore = '#000000'\n")


# For each layout: its maker, photos and masks of its description, the number of groups.
LAYOUTS = {
    "milesial's imgs and masks": (milesial, "imgs", "masks/{name}_mask.*", PHOTOS),
    "images and labels, 0 and 1, names with spaces": (zeros_and_ones, "images", "labels/{name}.*", PHOTOS),
    "photos and masks in one folder": (side_by_side, ".", "{name}_mask.*", PHOTOS),
    "VOC with a palette": (voc, "JPEGImages", "SegmentationClass/{name}.*", PHOTOS),
    "VOC with several classes": (voc_classes, "JPEGImages", "SegmentationClass/{name}.png", PHOTOS),
    "CamVid with colours": (camvid, "701_StillsRaw", "LabeledApproved/{name}_L.png", 3),
    "16-bit grey TIFF": (grey_tiff, "images", "masks/{name}-mask.*", PHOTOS),
    "patients as groups": (patients, "scans", "truth/{name}_seg.png", 4),
    "a folder a case": (a_folder_a_case, "case*/image.png", "{folder}/mask.png", PHOTOS),
    "numbered cells in 16 bits": (numbered_cells, "images", "labels/{name}.png", 6),
    "mixed sizes": (mixed_sizes, "Photos", "Masks/{name}.*", PHOTOS),
}


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def layout(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "data"
    LAYOUTS[request.param][0](root)
    return root, *LAYOUTS[request.param][1:]


def test_a_layout_is_described_and_every_photo_has_its_mask(layout, capsys):
    root, photos, masks, groups = layout
    described = describe(root)
    assert (described.photos, described.masks) == (photos, masks)
    pairs = list_pairs(root)
    assert len(pairs) == PHOTOS
    assert len({pair.name for pair in pairs}) == PHOTOS
    assert len({pair.car for pair in pairs}) == groups
    assert {pair.fold for pair in pairs} >= {0, 1, 2}
    # Each mask is the one that was drawn with its photo.
    drawings = [mask for _, mask in [*pictures(), *pictures(size=(50, 80))]]
    drawn = {(parts(mask) if pairs[0].classes else mask).tobytes() for mask in drawings}
    assert {pair.read_mask().tobytes() for pair in pairs} <= drawn
    assert main(["check-data", str(root), "--describe"]) == 0
    text = capsys.readouterr().out
    assert f"photos = '{photos}'\nmasks = '{masks}'\n" in text
    assert f"# {PHOTOS} pairs of {groups} groups; photos without a mask: 0" in text
    assert all(f"{part} (" in text for part in ("test", "validation", "training"))


def test_a_layout_is_checked_trained_evaluated_and_predicted(layout, tmp_path, capsys):
    root, _, _, groups = layout
    assert main(["check-data", str(root)]) == 0
    assert f"{PHOTOS} pairs of {groups} groups checked, faults: none" in capsys.readouterr().out
    history = fit(tiny(epochs=1, batch_size=2), root, tmp_path / "run", progress=False)
    assert 0 <= history[0]["dice"] <= 1
    scores = tmp_path / "scores.json"
    arguments = ["--weights", str(tmp_path / "run"), "--data", str(root), "--fold", "0,1", "--json", str(scores)]
    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    assert " groups, scored at the masks' own size" in printed
    assert "worst group" in printed
    assert "same view" not in printed
    classes = list_pairs(root)[0].classes
    assert all(name in printed for name in (*classes.names, "pixel's commonest class")) if classes else True
    found = json.loads(scores.read_text())
    held_out = [pair for pair in list_pairs(root) if pair.fold in (0, 1)]
    assert found["n_images"] == len(held_out)
    assert found["n_cars"] == len({pair.car for pair in held_out})
    photo = held_out[0].photo
    assert main(["predict", str(photo), "--weights", str(tmp_path / "run"), "--out", str(tmp_path / "masks")]) == 0
    (mask,) = (tmp_path / "masks").glob("*_mask.png")
    with Image.open(mask) as predicted, Image.open(photo) as image:
        assert predicted.size == image.size
        assert predicted.mode == ("P" if classes else "L")
    assert main(
        ["submit", str(photo.parent), "--weights", str(tmp_path / "run"), "--out", str(tmp_path / "x.csv")]
    ) == (1 if classes else 0)


def test_few_groups_are_split_by_rank_and_many_by_their_names():
    few = split_groups({f"patient{i}" for i in range(FEW_GROUPS - 1)})
    assert sorted(few.values()) == sorted(rank % 10 for rank in range(FEW_GROUPS - 1))
    many = split_groups({f"patient{i}" for i in range(60)})
    more = split_groups({f"patient{i}" for i in range(90)})
    assert all(more[group] == fold for group, fold in many.items()), "new groups move no other"
    assert set(more.values()) == set(range(10))


def test_carvanas_cars_keep_their_fold_in_other_data():
    cars = [f"{number:012x}" for number in (10, 11, 21, 12, 0xABCDEF012345)]
    assert split_groups(set(cars)) == {car: int(car, 16) % 10 for car in cars}
    mixed = split_groups({*cars, "patient1"})
    assert sorted(mixed.values()) == list(range(6))


def test_a_group_is_never_in_two_folds(tmp_path):
    patients(tmp_path)
    folds = {}
    for pair in list_pairs(tmp_path):
        assert folds.setdefault(pair.car, pair.fold) == pair.fold
    assert sorted(folds) == [f"patient{i:02}" for i in range(4)]


def test_the_description_is_written_once_and_read_back(tmp_path, capsys):
    zeros_and_ones(tmp_path)
    expected = list_pairs(tmp_path)
    assert main(["check-data", str(tmp_path), "--write"]) == 0
    text = (tmp_path / "dataset.toml").read_text()
    assert "# values in the masks: 0 (12), 1 (12)" in text
    assert "group = '(patient\\d+)_'" in text, "it asks what belongs together"
    assert list_pairs(tmp_path) == expected
    assert main(["check-data", str(tmp_path), "--write"]) != 0
    assert "exists: edit it" in capsys.readouterr().err
    assert (tmp_path / "dataset.toml").read_text() == text


def test_carvanas_own_layout_stays_carvanas(broken):
    assert describe(broken) is None
    expected = list_pairs(broken)
    assert {pair.group for pair in expected} == {""}
    milesial(broken)  # other pictures beside train and train_masks
    assert list_pairs(broken) == expected


def without_a_mask(root):
    (root / "labels" / "leaf number 3.png").unlink()


def two_masks(root):
    save(np.zeros((64, 96), np.uint8), root / "labels" / "leaf number 3.bmp")


def three_values(root):
    save(np.arange(96 * 64, dtype=np.uint8).reshape(64, 96) % 3, root / "labels" / "leaf number 3.png")


def no_group(root):
    (root / "dataset.toml").write_text("photos = 'images'\nmasks = 'labels/{name}.png'\ngroup = '(patient\\d)'\n")


def an_empty_group(root):
    (root / "dataset.toml").write_text("photos = 'images'\nmasks = 'labels/{name}.png'\ngroup = '(x?)'\n")


def another_way(root):
    shutil.copytree(root / "images", root / "imgs")


def two_kinds_of_masks(root):
    for path in list((root / "labels").iterdir()):
        shutil.copy(path, path.with_stem(f"{path.stem}_seg"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_mask, r"leaf number 3.jpg has no mask: add .*labels/leaf number 3\.\*"),
        (two_masks, r"leaf number 3.jpg has leaf number 3.bmp and leaf number 3.png: keep one of them"),
        (an_empty_group, r"leaf number 0.jpg has no group: '\(x\?\)' in .*dataset.toml is not found in its path"),
        (
            another_way,
            r"may be read in several ways, images with labels/\{name\}.\* and imgs with labels/\{name\}.\*: say",
        ),
        (
            two_kinds_of_masks,
            r"may be read in several ways, .*\{name\}_seg.\* and .*\{name\}.\*: say which in .*dataset.toml",
        ),
        (no_group, r"leaf number 0.jpg has no group: '\(patient\\d\)' in .*dataset.toml is not found in its path"),
    ],
)
def test_what_cannot_be_paired_is_said(tmp_path, damage, message):
    zeros_and_ones(tmp_path)
    damage(tmp_path)
    with pytest.raises(CarvanaError, match=message):
        list_pairs(tmp_path)


def test_a_mask_of_three_values_is_a_fault(tmp_path, capsys):
    zeros_and_ones(tmp_path)
    three_values(tmp_path)
    assert main(["check-data", str(tmp_path)]) == 1
    assert "leaf number 3.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photos = images\n", "cannot be read"),
        ("photos = 'images'\n", "needs masks = '...', a text in quotes"),
        ("photos = 'images'\nmasks = 7\n", "needs masks = '...', a text in quotes"),
        ("photos = 'images'\nmasks = 'labels'\n", r"needs \{name\}"),
        ("photos = 'images'\nmasks = '{name}{other}.png'\n", "cannot be understood"),
        ("photos = 'images'\nmasks = '{name}.png'\ngroup = '('\n", "cannot be understood"),
        ("photos = 'images'\nmasks = '{name}.png'\nclases = 2\n", "has clases, which is not known"),
        ("photos = 'images'\nmasks = '{name}.png'\nclasses = 2\n", "must be a list of names"),
        ("photos = 'images'\nmasks = '{name}.png'\nclasses = ['sky']\n", "must be 2 to 255 different names"),
        ("photos = 'images'\nmasks = '{name}.png'\nclasses = ['sky', 'sky', 'car']\n", "must be 2 to 255 different"),
        (
            "photos = 'images'\nmasks = '{name}.png'\nclasses = ['a', 'b', 'c']\nignore = 2\n",
            "ignore = 2 must be a mask",
        ),
        ("photos = 'images'\nmasks = '{name}.png'\nignore = '#ffffff'\n", "ignore = '#ffffff' must be a mask value"),
        (
            "photos = 'i'\nmasks = '{name}.png'\nclasses = ['a', 'b']\ncolours = {a = '#000000'}\n",
            "each of `classes` one",
        ),
        ("photos = 'i'\nmasks = '{name}.png'\ncolours = 3\n", "colours must be written as in"),
        ("photos = 'i'\nmasks = '{name}.png'\ncolours = {a = '#000000', b = 'red'}\n", "'red' is no colour: write six"),
        ("photos = 'i'\nmasks = '{name}.png'\ncolours = {a = '#0000aa', b = '#0000AA'}\n", "a colour stands twice"),
    ],
)
def test_a_wrong_description_is_said(tmp_path, text, message):
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(CarvanaError, match=message) as caught:
        read_description(tmp_path / "dataset.toml")
    assert str(tmp_path / "dataset.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_masks_mean_is_asked_for_and_never_guessed(tmp_path, capsys):
    voc_classes(tmp_path / "voc")
    (tmp_path / "voc" / "dataset.toml").unlink()
    assert main(["check-data", str(tmp_path / "voc"), "--write"]) == 0
    text = capsys.readouterr().out
    assert "\n# classes = ['background', 'class 1', 'class 2']\n# ignore = 255\n" in text
    with pytest.raises(CarvanaError, match=r"not two-valued.*name several classes in dataset.toml"):
        read_mask(list_pairs(tmp_path / "voc")[0].mask)
    # Without the signs, what is asked for is a description that works.
    file = tmp_path / "voc" / "dataset.toml"
    file.write_text(text.replace("# classes", "classes").replace("# ignore", "ignore"))
    assert main(["check-data", str(tmp_path / "voc")]) == 0
    camvid(tmp_path / "camvid")
    (tmp_path / "camvid" / "dataset.toml").write_text(
        "photos = '701_StillsRaw'\nmasks = 'LabeledApproved/{name}_L.png'\n"
    )
    assert main(["check-data", str(tmp_path / "camvid"), "--describe"]) == 0
    asked = (
        "# colours = {'background' = '#000000', 'class 1' = '#400080', 'class 2' = '#804080', 'class 3' = '#808080'}\n"
    )
    assert asked in capsys.readouterr().out
    for i, (photo, mask) in enumerate(pictures()):
        save(photo, tmp_path / "greys" / "images" / f"{i}.png")
        save(np.uint8([0, 100, 200, 0])[parts(mask) % 4], tmp_path / "greys" / "masks" / f"{i}.png")
    assert main(["check-data", str(tmp_path / "greys"), "--describe"]) == 0
    text = capsys.readouterr().out
    assert "# colours = {'background' = '#000000', 'class 1' = '#646464', 'class 2' = '#c8c8c8'}\n" in text
    (tmp_path / "greys" / "dataset.toml").write_text(text.replace("# colours", "colours"))
    assert main(["check-data", str(tmp_path / "greys")]) == 0


def test_faults_of_classes_are_one_line_each(tmp_path, capsys):
    voc_classes(tmp_path)
    (tmp_path / "dataset.toml").write_text(
        (tmp_path / "dataset.toml").read_text().replace("'sail'", "'sail', 'anchor'")
    )
    save(np.full((64, 96), 9, np.uint8), tmp_path / "SegmentationClass" / "2007_000003.png")
    save(np.full((64, 96), 255, np.uint8), tmp_path / "SegmentationClass" / "2007_000004.png")
    wrong = "2007_000003.png holds the value 9, which is none of its classes (0 background, 1 boat, 2 sail, 3 anchor)"
    unseen = "holds no mask with the class anchor for training (folds 2 to 9): add photos of it, or drop it"
    assert main(["check-data", str(tmp_path)]) == 1
    faults = capsys.readouterr().out
    assert all(faults.count(line) == 1 for line in (wrong, unseen, "2007_000004.png marks no class, every pixel"))
    assert main(["check-data", str(tmp_path), "--describe"]) == 0
    described = capsys.readouterr().out
    assert all(
        described.count(line) == 1 for line in (wrong, unseen, "# photos with each class: background (10), boat (10)")
    )
    with pytest.raises(CarvanaError, match="holds the value 9"):
        fit(tiny(), tmp_path, tmp_path / "run", progress=False)


def test_a_group_in_two_folders_is_said(tmp_path, capsys):
    for i, (photo, mask) in enumerate(pictures()):
        case = tmp_path / f"hospital{i % 2}" / f"patient{i // 2 % 4}_{i}"
        save(photo, case.with_suffix(".png"))
        save(mask.astype(np.uint8) * 255, case.with_name(f"{case.name}_mask.png"))
    toml = "photos = '*/*.png'\nmasks = '{folder}/{name}_mask.png'\n"
    (tmp_path / "dataset.toml").write_text(toml + "group = '(patient\\d+)_'\n")
    line = "hold photos of group patient0: if these are two, let `group` find the folder too"
    assert main(["check-data", str(tmp_path)]) == 0
    assert f"Suspicion: {tmp_path / 'hospital0'} and {tmp_path / 'hospital1'} {line}" in capsys.readouterr().out
    assert main(["check-data", str(tmp_path), "--describe"]) == 0
    assert line in capsys.readouterr().out
    (tmp_path / "dataset.toml").write_text(toml + "group = '(hospital\\d/patient\\d+)_'\n")
    assert main(["check-data", str(tmp_path)]) == 0
    assert "Suspicion" not in capsys.readouterr().out


def test_two_groups_are_too_few(tmp_path):
    for i, (photo, mask) in enumerate(pictures(2)):
        save(photo, tmp_path / "images" / f"{i}.png")
        save(mask.astype(np.uint8) * 255, tmp_path / "masks" / f"{i}.png")
    with pytest.raises(CarvanaError, match="holds 2 groups: training, validation and test need at least three"):
        scan_described(Path(tmp_path), describe(tmp_path))


def test_a_folder_that_shows_nothing_is_asked_about(tmp_path, carvana, capsys):
    (tmp_path / "notes.txt").write_text("nothing")
    assert main(["check-data", str(tmp_path), "--describe"]) == 1
    assert f"matching names, such as images/ and masks/: write {tmp_path / 'dataset.toml'}" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(tmp_path)]) == 1
    assert f"`carvana check-data {tmp_path} --describe` says what they need" in capsys.readouterr().err
    assert main(["check-data", str(carvana), "--describe"]) == 1
    assert "is in Carvana's own layout and needs no dataset.toml" in capsys.readouterr().err


def test_scores_of_two_folders_are_told_apart_whatever_their_layout(trained, tmp_path, capsys):
    roots = [tmp_path / "flat", tmp_path / "cases"]
    side_by_side(roots[0])
    a_folder_a_case(roots[1])
    scores = tmp_path / "scores.json"
    data = [part for root in roots for part in ("--data", str(root))]
    assert main(["evaluate", "--weights", str(trained), *data, "--fold", "1", "--json", str(scores)]) == 0
    folders = json.loads(scores.read_text())["folders"]
    assert {name: one["n_images"] for name, one in folders.items()} == {
        str(root): len(list_pairs(root, [1])) for root in roots
    }


def test_two_folders_with_the_same_names_are_refused(tmp_path):
    for name in ("a", "b"):
        patients(tmp_path / name)
    # The groups differ, the photos' names do not.
    (tmp_path / "b" / "dataset.toml").write_text("photos = 'scans'\nmasks = 'truth/{name}_seg.png'\n")
    with pytest.raises(CarvanaError, match="has a name or a group that another data folder has too"):
        list_pairs([tmp_path / "a", tmp_path / "b"])
