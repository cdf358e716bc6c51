import numpy as np
import pytest
from conftest import SIZE, write_pair
from PIL import Image

from carvana_lib.doctor import check_data
from carvana_lib.errors import CarvanaError


def photo(root):
    return sorted((root / "train").iterdir())[0]


def mask(root):
    return sorted((root / "train_masks").iterdir())[0]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save_mask(path, values):
    Image.fromarray(values.astype(np.uint8)).save(path.with_suffix(".png"))
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda root: mask(root).unlink(), [".jpg has no mask", "add", "or remove"]),
        (lambda root: photo(root).unlink(), ["_mask.gif has no photo", "or remove the mask"]),
        (lambda root: photo(root).write_text("words"), [".jpg is not an image", "replace or remove"]),
        (lambda root: mask(root).write_bytes(b""), ["_mask.gif is not an image", "replace or remove"]),
        (lambda root: cut(photo(root)), [".jpg is damaged", "truncated"]),
        (lambda root: Image.new("1", (8, 8)).save(mask(root)), ["is 8x8 but its photo is 96x64", "replace the mask"]),
        (
            lambda root: save_mask(mask(root), np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[::-1]) % 3 * 100),
            ["_mask.png is not two-valued", "threshold it"],
        ),
        (lambda root: (root / "train" / "me.jpg").write_text("words"), ["me.jpg is not named", "rename or remove"]),
    ],
)
def test_each_fault_is_one_line_with_file_and_cure(broken, damage, parts):
    assert check_data(broken, progress=False)[1] == []
    damage(broken)
    faults = check_data(broken, progress=False)[1]
    assert len(faults) == 1
    assert "\n" not in faults[0]
    for part in parts:
        assert part in faults[0]


def test_every_fault_is_listed(broken):
    for file in (broken / "train").iterdir():
        file.write_text("words")
    write_pair(broken, 15, 1)
    pairs, faults = check_data(broken, progress=False)
    assert len(pairs) == 4
    assert len(faults) == 3


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CarvanaError, match="no folder"):
        check_data(tmp_path / "gone")
