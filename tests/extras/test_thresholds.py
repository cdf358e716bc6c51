import numpy as np
import pytest
import torch

from carvana_lib.extras.thresholds import BINS, Histograms, histogram, to_levels
from carvana_lib.metrics import accuracy, confusion, dice, iou


@pytest.fixture(scope="module")
def photos():
    generator = np.random.default_rng(0)
    targets = generator.random((3, 40, 50)) < 0.3
    probabilities = np.clip(targets * 0.5 + generator.random((3, 40, 50)) * 0.6, 0, 1).astype(np.float32)
    # Values exactly at thresholds, as float32 holds them, and both ends.
    probabilities[0, 0, :11] = np.arange(11) / 10
    return probabilities, targets


@pytest.fixture(scope="module")
def histograms(photos):
    car, background = zip(*(histogram(p, t) for p, t in zip(*photos, strict=True)), strict=True)
    return Histograms(np.stack(car), np.stack(background))


@pytest.mark.parametrize("threshold", [0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1])
def test_counts_are_those_of_the_masks(photos, histograms, threshold):
    probabilities, targets = photos
    # A float32 such as 0.1 is compared with the threshold in float32, as PyTorch does.
    masks = probabilities > np.float32(threshold)
    expected = confusion(torch.from_numpy(masks), torch.from_numpy(targets))
    assert torch.equal(histograms.counts(threshold), expected)


def test_the_curve_is_the_scores_at_each_threshold(histograms):
    curve = histograms.curve()
    assert len(curve["threshold"]) == BINS + 1
    for index in (0, 137, 500, BINS):
        counts = histograms.counts(curve["threshold"][index])
        for name, score in (("dice", dice), ("accuracy", accuracy), ("iou", iou)):
            assert curve[name][index] == pytest.approx(score(counts).item(), abs=1e-12)


def test_the_best_threshold_has_the_highest_dice(histograms):
    best = histograms.best_threshold()
    assert dice(histograms.counts(best)).item() == pytest.approx(histograms.curve()["dice"].max(), abs=1e-12)
    assert 0.4 < best < 0.7


def test_of_equally_good_thresholds_the_middle_one_is_taken():
    car, background = histogram(np.array([[0.2, 0.8]], np.float32), np.array([[False, True]]))
    assert Histograms(car[None], background[None]).best_threshold() == pytest.approx(0.5, abs=0.002)


def test_a_threshold_outside_0_and_1_is_refused(histograms):
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="not a probability"):
            histograms.counts(threshold)


def test_levels_compare_as_float32_does_everywhere():
    thresholds = (np.arange(BINS + 1) / BINS).astype(np.float32)
    near = [np.nextafter(thresholds, np.float32(end)) for end in (0, 1)]
    tiny = np.array([1e-45, 1e-30, 4e-8], np.float32)
    probabilities = np.concatenate([thresholds, *near, tiny])
    for k in (0, 1, 2, 3, 137, 500, 999, BINS):
        assert ((to_levels(probabilities) > k) == (probabilities > thresholds[k])).all()


def test_what_are_no_probabilities_or_masks_is_refused(photos):
    probability, target = photos[0][0], photos[1][0]
    holes = probability.copy()
    holes[0, 0] = np.nan
    levels = to_levels(probability)
    wrong = [
        (probability * 255, target),
        (probability * 8 - 4, target),
        (holes, target),
        (torch.from_numpy(probability), target),
        (target, target),
        ((probability * 255).astype(np.uint8), target),
        (levels + np.uint16(BINS), target),
        (probability, target * np.uint8(255)),
        (probability, target.astype(int)),
        (levels, target[:, :-1]),
        (probability, target[None]),
        (probability[None], target),
    ]
    for one, two in wrong:
        with pytest.raises(ValueError, match=r"must be| lie |does not fit|not from `to_levels`") as error:
            histogram(one, two)
        assert "\n" not in str(error.value)
    for one, two in zip(histogram(levels, target), histogram(probability, target), strict=True):
        np.testing.assert_array_equal(one, two)
