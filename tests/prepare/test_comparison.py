"""The doctor names masks that may not fit their photos, and no right one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import write_pair
from PIL import Image

import carvana_lib
from carvana_lib.base.errors import CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.data import list_pairs
from carvana_lib.images import read_mask
from carvana_lib.prepare import comparison
from carvana_lib.prepare.comparison import agreement, misfits
from carvana_lib.prepare.inspection import look_at
from carvana_lib.run.weights import load_pretrained

SAMPLE = Path(carvana_lib.__file__).parent.parent / "data" / "sample"


@pytest.fixture(scope="module")
def net():
    model, config = load_pretrained()
    return model, config.size


@pytest.fixture
def cars(tmp_path) -> Path:
    """Views 1 to 4 of four rendered cars."""
    for pair in [pair for pair in list_pairs(SAMPLE) if pair.view <= 4][:16]:
        for file in (pair.photo, pair.mask):
            (tmp_path / "cars" / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "cars" / file.parent.name)
    return tmp_path / "cars"


def half(mask: np.ndarray) -> np.ndarray:
    columns = np.flatnonzero(mask.any(0))
    return mask & (np.arange(mask.shape[1]) < columns.mean())


def speck(mask: np.ndarray) -> np.ndarray:
    found = np.zeros_like(mask)
    found[200:206, 240:246] = True
    return found


def outline(mask: np.ndarray) -> np.ndarray:
    inside = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~np.pad(inside, 1)


DAMAGE = {
    "mirrored": lambda mask, other: mask[:, ::-1],
    "shifted": lambda mask, other: np.roll(mask, (12, 20), (0, 1)),
    "another car's": lambda mask, other: other,
    "half": lambda mask, other: half(mask),
    "speck": lambda mask, other: speck(mask),
    "outline": lambda mask, other: outline(mask),
}


def damage(root: Path, kind: str, number: int) -> Path:
    """Replace a mask; the other car's is not there twice, as a copy would be a fault."""
    pairs = list_pairs(root)
    other = read_mask(
        next(p.mask for p in list_pairs(SAMPLE) if p.view == pairs[number].view and p.car > pairs[-1].car)
    )
    path = pairs[number].mask
    values = DAMAGE[kind](read_mask(path), other)
    path.unlink()
    Image.fromarray(values).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def test_masks_that_do_not_fit_are_suspicions_and_no_faults(cars, capsys):
    assert main(["check-data", str(cars)]) == 0
    assert capsys.readouterr().out == f"{cars}: 16 pairs of 4 cars checked, faults: none\n"
    wrong = [damage(cars, kind, 2 * number + 1) for number, kind in enumerate(DAMAGE)]
    assert main(["check-data", str(cars)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.endswith("faults: none, suspicions: 6")
    assert [line.split()[1] for line in lines] == [str(path) for path in wrong]
    assert "fits the mirrored photo" in lines[0]
    assert all("may not fit its photo (Dice with what the net `small` sees 0." in line for line in lines[1:])


def test_in_a_large_set_the_net_looks_where_edges_and_sizes_say(cars, net, monkeypatch):
    wrong = [damage(cars, kind, 4 * number + 2) for number, kind in enumerate(("shifted", "half", "another car's"))]
    monkeypatch.setattr(comparison, "OFF_EDGES", 3)
    monkeypatch.setattr(comparison, "TOO_SMALL", 1)
    looked = []
    monkeypatch.setattr(comparison, "agreement", lambda *given: looked.append(given[1].mask) or agreement(*given))
    found = misfits([look_at(pair) for pair in list_pairs(cars)], *net, progress=False)
    assert [line.split()[0] for line in found] == [str(path) for path in wrong]
    assert len(set(looked)) < 16


def test_a_second_look_at_the_nets_own_size_clears_a_mask(cars, net, monkeypatch):
    """At half size the net is now and then unsure."""
    sizes = []
    monkeypatch.setattr(
        comparison, "agreement", lambda _, pair, size: sizes.append(size) or (0.9 + 0.09 * len(sizes[16:]), 0.0)
    )
    assert misfits([look_at(pair) for pair in list_pairs(cars)], *net, progress=False) == []
    assert sizes == [(480, 320)] * 16 + [(959, 640)] * 16


def test_of_other_things_than_cars_no_mask_is_named(tmp_path, net):
    for number in (10, 11, 12):
        write_pair(tmp_path, number, 1)
    with pytest.warns(CarvanaWarning, match="in most photos the net `small` sees something else than the masks say"):
        assert misfits([look_at(pair) for pair in list_pairs(tmp_path)], *net, progress=False) == []


def test_what_has_a_fault_already_is_not_compared(cars, net):
    looks = [look_at(pair) for pair in list_pairs(cars)]
    looks[3].faults.append("any")
    looks[3].pair.photo.write_text("words")
    assert misfits(looks, *net, progress=False) == []
