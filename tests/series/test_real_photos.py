"""Every notebook on photos of Carvana's size, of cars the sample does not have: six cars; and without a test car."""

import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from carvana_lib.data import SAMPLE, Pair, car_fold, list_pairs
from notebooks.run import execute

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SIZE = (1918, 1280)  # pixels of Carvana's photos


def enlarge(pair: Pair, car: str, root: Path) -> None:
    """Write a rendered photo and its mask at the size of Carvana's, under the name of another car."""
    name = f"{car}_{pair.view:02d}"
    with Image.open(pair.photo) as photo, Image.open(pair.mask) as mask:
        photo.resize(SIZE, Image.Resampling.BILINEAR).save(root / "train" / f"{name}.jpg", quality=85)
        mask.convert("1").resize(SIZE).save(root / "train_masks" / f"{name}_mask.gif")


@pytest.fixture(scope="module")
def six_cars(tmp_path_factory) -> Path:
    """One car of each of the folds 0, 1, 2, 4, 5 and 9, with 16 views."""
    root = tmp_path_factory.mktemp("carvana")
    for folder in ("train", "train_masks"):
        (root / folder).mkdir()
    for fold in (0, 1, 2, 4, 5, 9):
        for pair in list_pairs(SAMPLE, [fold], cars=1):
            # Ten more is the next car of the same fold.
            enlarge(pair, f"{int(pair.car, 16) + 10:012x}", root)
    return root


@pytest.fixture(scope="module")
def no_test_car(six_cars, tmp_path_factory) -> Path:
    """The same without the car of fold 0: one held-out car is left."""
    root = tmp_path_factory.mktemp("carvana")
    for file in six_cars.glob("*/*"):
        if car_fold(file.name[:12]) != 0:
            copy = root / file.parent.name / file.name
            copy.parent.mkdir(exist_ok=True)
            copy.symlink_to(file)
    return root


def outputs(number: str, data: Path, folder: Path, monkeypatch) -> str:
    """All that a notebook prints, or shows as a table, with the photos in `data`. It runs in `folder`."""
    monkeypatch.setenv("CARVANA_DATA", str(data))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on a busy machine threads wait for one another
    notebook = nbformat.read(next(NOTEBOOKS.glob(f"{number}_*.ipynb")), as_version=4)
    execute(notebook, folder)  # raises an error if a cell does
    found = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in found)


@pytest.mark.parametrize("number", [f"{number:02d}" for number in range(1, 11)])  # 11 has data of its own
def test_a_notebook_runs_on_six_cars_of_the_real_size(number, six_cars, tmp_path, monkeypatch):
    text = outputs(number, six_cars, tmp_path, monkeypatch)
    assert "sample" not in text
    assert text.count("Checkpoint passed") >= 2
    if number == "02":
        assert "96 photos = 6 cars x 16 views" in text
        assert "| training | 4 | 64 |\n| validation | 1 | 16 |\n| test | 1 | 16 |" in text
    if number == "05":
        ring, spot = re.findall(r"(\d+) pixels: bce_loss (\S+) .* boundary_loss (\S+)", text)
        assert ring[:2] == spot[:2]  # as many pixels, the same cross-entropy
        assert float(ring[2]) > 2 * float(spot[2])
    if number == "07":
        assert f"2 cars, 32 photos, masks of {SIZE[0]}x{SIZE[1]} pixels" in text
    if number == "09":
        # The made-up phone photo shows the car, not a piece of wall.
        assert 0.2 < float(re.search(r"turned .* car: ~(\S+) of the pixels", text)[1]) < 0.6


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("01", "the validation cars (fold 1) take their place"),
        ("07", "One car tells nothing of others"),
        ("08", "No other held-out car"),
    ],
)
def test_without_test_cars_a_notebook_says_so_and_takes_the_validation_car(
    number, sentence, no_test_car, tmp_path, monkeypatch
):
    text = outputs(number, no_test_car, tmp_path, monkeypatch)
    assert sentence in text
    assert "Checkpoint passed" in text
