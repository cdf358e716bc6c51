import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import VIEWS, draw, write_pair
from torch import nn

from carvana_lib.base.errors import CarvanaError
from carvana_lib.cli.report import table, write_json, write_rows
from carvana_lib.data import CarvanaDataset, Pair, list_pairs
from carvana_lib.evaluation import Evaluation, baselines, count_batch, evaluate
from carvana_lib.images import read_photo
from carvana_lib.pictures import figures, overlays
from carvana_lib.prediction import predict_array, predict_logits
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.weights import load_model


@pytest.fixture(scope="module")
def model_and_data(trained, carvana):
    model, config = load_model(trained)
    return model, cached_dataset(list_pairs(carvana), config.size, progress=False)


def test_scores_do_not_depend_on_the_batch_size(model_and_data):
    model, dataset = model_and_data
    summaries = [evaluate(model, dataset, batch_size=size, progress=False).summary() for size in (1, 7, 16)]
    assert summaries[0] == summaries[1] == summaries[2]


def test_no_photo_is_alone_in_a_batch(model_and_data):
    """Convolutions of one photo differ from those of several in the last digit of float32."""
    model, dataset = model_and_data
    sizes = []
    hook = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    scored = [evaluate(model, dataset, batch_size=size, indices=range(5), progress=False) for size in (1, 2, 5)]
    hook.remove()
    assert sizes == [2, 2, 2, 2, 2] + [2, 2, 2] + [5]
    for evaluation in scored:
        assert evaluation.names == [pair.name for pair in dataset.pairs[:5]]
        assert torch.equal(evaluation.counts, scored[0].counts)


def test_scores_do_not_depend_on_the_number_of_threads(model_and_data):
    model, dataset = model_and_data
    before, summaries = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            summaries.append(evaluate(model, dataset, progress=False).summary())
    finally:
        torch.set_num_threads(before)
    for name in ("dice", "dice_global", "dice_batch", "accuracy", "iou"):
        assert [summary[name] for summary in summaries] == pytest.approx([summaries[0][name]] * 3, abs=1e-6)


def test_half_precision_gives_nearly_the_same_scores(model_and_data):
    model, dataset = model_and_data
    exact, fast = (evaluate(model, dataset, precision=kind, progress=False) for kind in ("float32", "bf16"))
    assert abs(exact.dice.mean() - fast.dice.mean()) < 1e-3
    logits = [predict_logits(model, dataset.batch([0])[0], precision=kind) for kind in ("float32", "bf16")]
    assert not torch.equal(*logits)
    assert all(one.dtype == torch.float32 for one in logits)


def test_uneven_shares_count_every_photo_once(model_and_data):
    model, dataset = model_and_data
    few = CarvanaDataset(dataset.pairs[:7], dataset.size, tuple(part[:7] for part in dataset.arrays))
    whole = evaluate(model, few, outlines=False, progress=False)
    # Three processes and batches of two: shares of 3, 2 and 2 photos, the last batches not full.
    parts = [
        evaluate(model, few, batch_size=2, outlines=False, indices=range(rank, 7, 3), progress=False)
        for rank in range(3)
    ]
    assert sorted(name for part in parts for name in part.names) == whole.names
    counts = {name: row.tolist() for part in parts for name, row in zip(part.names, part.counts, strict=True)}
    assert [counts[name] for name in whole.names] == whole.counts.tolist()


class Oracle(nn.Module):
    """Knows the true masks at the net's size."""

    def __init__(self, masks):
        super().__init__()
        self.masks = nn.Parameter(masks)
        self.at = 0

    def forward(self, images):
        chosen = self.masks[self.at : self.at + len(images)]
        self.at += len(images)
        return chosen


def test_scores_are_those_of_the_upsampled_logits_at_native_size(carvana):
    dataset = CarvanaDataset(list_pairs(carvana, [1]), (48, 32))
    logits = torch.from_numpy(dataset.masks())[:, None].float() / 255 - 0.5
    result = evaluate(Oracle(logits), dataset, batch_size=3, progress=False)
    for index, pair in enumerate(dataset.pairs):
        up = nn.functional.interpolate(logits[index : index + 1], size=(64, 96), mode="bilinear")[0, 0] > 0
        target = draw(int(pair.car, 16), pair.view)[1]
        overlap = (up.numpy() & target).sum()
        assert result.dice[index] == pytest.approx(2 * overlap / (up.sum().item() + target.sum()), abs=1e-12)
    assert 0.97 < result.dice.min() < 1
    assert result.summary()["boundary_error_px"] < 1


def test_the_threshold_is_a_probability(carvana):
    dataset = CarvanaDataset(list_pairs(carvana, [1]), (48, 32))
    logits = torch.full((8, 1, 32, 48), 1.0)
    share = torch.sigmoid(torch.tensor(1.0)).item()
    positives = {}
    for threshold in (0.0, share - 0.01, share + 0.01, 1.0):
        counts = evaluate(Oracle(logits), dataset, threshold, outlines=False, progress=False).counts
        positives[threshold] = counts[:, :2].sum().item()
    everything = 8 * 64 * 96
    assert list(positives.values()) == [everything, everything, 0, 0]
    with pytest.raises(CarvanaError, match=r"threshold 1\.5"):
        evaluate(Oracle(logits), dataset, 1.5, progress=False)


def test_mirrored_photos_are_averaged_in(model_and_data):
    model, dataset = model_and_data

    class Flipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = model.head.weight

        def forward(self, images):
            return model(images.flip(-1)).flip(-1)

    ours = evaluate(model, dataset, tta=True, outlines=False, progress=False)
    theirs = evaluate(Flipped(), dataset, tta=True, outlines=False, progress=False)
    plain = evaluate(model, dataset, outlines=False, progress=False)
    assert np.abs(ours.dice - theirs.dice).max() < 1e-3
    assert (ours.counts != plain.counts).any()


def test_baselines_by_hand(carvana):
    train = CarvanaDataset(list_pairs(carvana, range(2, 10)), (96, 64))
    dataset = CarvanaDataset(list_pairs(carvana, [0]), (96, 64))
    rows = baselines(train, dataset, progress=False)
    targets = [draw(10, view)[1] for view in VIEWS]
    assert rows["all background"]["dice"] == 0
    assert rows["all background"]["accuracy"] == pytest.approx(np.mean([1 - t.mean() for t in targets]))

    def score(guess, target):
        return 2 * (guess & target).sum() / (guess.sum() + target.sum())

    drawn = {view: np.mean([draw(number, view)[1] for number in (12, 13, 14, 15, 16)], axis=0) for view in VIEWS}
    overall = np.mean(list(drawn.values()), axis=0) > 0.5
    expected = np.mean([score(overall, target) for target in targets])
    assert rows["mean training mask"]["dice"] == pytest.approx(expected, abs=1e-9)
    expected = np.mean([score(drawn[view] > 0.5, target) for view, target in zip(VIEWS, targets, strict=True)])
    assert rows["mean training mask of the same view"]["dice"] == pytest.approx(expected, abs=1e-9)
    assert set(baselines(None, dataset, progress=False)) == {"all background"}


def test_no_baseline_is_made_from_the_cars_it_is_scored_on(carvana):
    training, scored = list_pairs(carvana, range(2, 10)), list_pairs(carvana, [2, 3])
    dataset = CarvanaDataset(scored, (96, 64))
    cars = {pair.car for pair in scored}
    others = CarvanaDataset([pair for pair in training if pair.car not in cars], (96, 64))
    expected = baselines(others, dataset, progress=False)
    assert baselines(CarvanaDataset(training, (96, 64)), dataset, progress=False) == expected
    assert max(row["dice"] for row in expected.values()) < 0.95
    assert set(baselines(dataset, dataset, progress=False)) == {"all background"}


def test_a_single_car_has_no_interval():
    names = ["00000000000a_01", "00000000000a_02"]
    evaluation = Evaluation(names, torch.tensor([[4, 0, 0, 12], [2, 2, 2, 10]]), np.array([]))
    summary = evaluation.summary()
    assert summary["dice_ci95"] is None
    assert summary["dice"] == pytest.approx(0.75)
    text = table(summary, {})
    assert "no 95 % interval of Dice: the photos are of a single car" in text
    assert "interval of Dice over cars" not in text
    assert json.loads(json.dumps(summary))["dice_ci95"] is None


def test_summary_by_hand():
    names = ["00000000000a_01", "00000000000a_02", "00000000000b_01"]
    counts = torch.tensor([[4, 0, 0, 12], [2, 2, 2, 10], [0, 4, 0, 12]])
    summary = Evaluation(names, counts, np.array([0.0, 1.0, 2.0])).summary()
    assert summary["dice"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert summary["dice_global"] == pytest.approx(12 / (12 + 6 + 2))
    assert summary["dice_batch"] == summary["dice_global"]
    assert summary["accuracy"] == pytest.approx((1 + 0.75 + 0.75) / 3)
    assert summary["iou"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert summary["boundary_error_px"] == 1
    assert (summary["n_images"], summary["n_cars"]) == (3, 2)
    assert summary["worst"] == {
        "photo": {"name": "00000000000b_01", "dice": 0.0},
        "car": {"name": "00000000000b", "dice": 0.0},
    }
    low, high = summary["dice_ci95"]
    assert low == 0
    assert high == pytest.approx(0.75)


def test_report_and_files(model_and_data, tmp_path):
    model, dataset = model_and_data
    result = evaluate(model, dataset, progress=False)
    summary, rows = result.summary(), baselines(None, dataset, progress=False)
    text = table(summary, rows)
    assert f"{summary['dice']:8.4f}" in text
    assert "all background" in text
    write_json(tmp_path / "scores.json", summary)
    assert json.loads((tmp_path / "scores.json").read_text())["dice"] == summary["dice"]
    write_rows(result, tmp_path / "scores.csv")
    read = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["name"] for row in read] == [pair.name for pair in dataset.pairs]
    assert [float(row["dice"]) for row in read] == result.dice.tolist()
    assert sum(int(row["tp"]) + int(row["fp"]) + int(row["fn"]) + int(row["tn"]) for row in read) == 32 * 64 * 96


def test_rows_without_outlines_leave_the_column_blank(model_and_data, tmp_path):
    model, dataset = model_and_data
    result = evaluate(model, dataset, outlines=False, indices=[2, 0], progress=False)
    write_rows(result, tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [dataset.pairs[2].name, dataset.pairs[0].name]
    assert [row["boundary_error_px"] for row in rows] == ["", ""]
    assert float(rows[0]["dice"]) == result.dice[0]


def test_a_share_of_no_photos_is_empty(model_and_data):
    nothing = evaluate(*model_and_data, indices=[], progress=False)
    assert (nothing.names, nothing.counts.shape, len(nothing.boundary_errors)) == ([], (0, 4), 0)


def test_the_extremes_shown_are_those_scored(model_and_data, monkeypatch):
    model, dataset = model_and_data
    result = evaluate(model, dataset, tta=True, indices=[9, 4, 7], progress=False)
    asked = []

    def predict(model, photo, size, tta):
        asked.append(tta)
        return predict_array(model, photo, size, tta)

    monkeypatch.setattr(figures, "predict_array", predict)
    figure = figures.plot_extremes(model, dataset, result, count=1, tta=True)
    best, worst = np.argmax(result.dice), np.argmin(result.dice)
    for axis, row in zip(figure.axes[:2], (best, worst), strict=True):
        assert axis.get_title().endswith(result.names[row])
        photo = read_photo(dataset.pairs[[9, 4, 7][row]].photo)
        mask = predict_array(model, photo, dataset.size, True) > 0.5
        assert (axis.images[0].get_array() == overlays.overlay(photo, mask)).all()
        column = figure.axes.index(axis)
        target = dataset.native_mask([9, 4, 7][row])
        [frame] = figure.axes[2 + column].patches
        (left, top), wide, high = frame.get_xy(), frame.get_width(), frame.get_height()
        assert (high, wide) == (target.shape[0] // 5, target.shape[1] // 5)
        errors = overlays.error_map(photo, mask, target)[top : top + high, left : left + wide]
        assert (figure.axes[4 + column].images[0].get_array() == errors).all()
        windows = np.lib.stride_tricks.sliding_window_view(mask != target, (high, wide)).sum((2, 3))
        assert windows[top, left] == windows.max() > 0
    plt.close(figure)
    assert asked == [True, True]


def test_masks_kept_on_the_device_give_the_same_counts(tmp_path):
    """A CPU stands for the device; `make gpu` compares a GPU with a CPU."""
    for view in range(50):
        write_pair(tmp_path, 10, view)
    pairs = list_pairs(tmp_path)
    files, kept = (CarvanaDataset(pairs, (48, 32)) for _ in range(2))
    kept.keep_masks(torch.device("cpu"))
    assert len(pairs) == 50
    maps = torch.randn(50, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    indices = list(range(50))
    expected, errors = count_batch(files, indices, maps, 0.0, outlines=True, at_once=False)
    assert len(errors) == 50
    for dataset in (files, kept):
        for at_once in (True, False):
            counts, _ = count_batch(dataset, indices, maps, 0.0, outlines=False, at_once=at_once)
            assert torch.equal(counts, expected)


def test_masks_of_several_sizes_are_counted_one_by_one(tmp_path):
    masks = [np.arange(60).reshape(6, 10) % 7 < 3, np.arange(35).reshape(5, 7) % 2 == 0]
    dataset = CarvanaDataset([Pair(f"{0:012x}_{view:02}", Path(), Path()) for view in (1, 2)], (8, 8))
    dataset.native_mask = masks.__getitem__
    dataset.keep_masks(torch.device("cpu"))
    found = dataset.native_masks_on([0, 1], torch.device("cpu"))
    assert [mask.dtype for mask in found] == [torch.bool] * 2
    assert all(np.array_equal(mask.numpy(), true) for mask, true in zip(found, masks, strict=True))
    counts, _ = count_batch(dataset, [0, 1], torch.ones(2, 1, 3, 3), 0.0, outlines=False, at_once=True)
    assert counts.tolist() == [[m.sum(), (~m).sum(), 0, 0] for m in masks]


@pytest.mark.parametrize("batch_size", [1, 5, 7, 16])
def test_memory_is_given_back_each_32_photos_whatever_the_batch(model_and_data, monkeypatch, batch_size):
    model, dataset = model_and_data
    calls = []
    monkeypatch.setattr("carvana_lib.evaluation.hand_back_memory", lambda: calls.append(1))
    photos = [index % len(dataset) for index in range(65)]
    scored = evaluate(model, dataset, batch_size=batch_size, outlines=False, indices=photos, progress=False)
    assert len(scored.names) == 65
    assert len(calls) == 2
