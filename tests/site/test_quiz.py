"""The quiz: every number in an answer is recomputed with the library, and each question has one right choice."""

import json
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import nn

from carvana_lib import UNet, accuracy, boundary, dice, held_out_fold, iou, load_pretrained, read_mask, read_photo
from carvana_lib.base.class_counts import confusion_matrices, one_against_rest, photo_scores, right_share
from carvana_lib.config import preset
from carvana_lib.data import TEST_FOLD, VALIDATION_FOLD, CarvanaDataset, list_pairs
from carvana_lib.extras.submission import rle_encode
from carvana_lib.images import resize
from carvana_lib.losses import bce_loss, dice_loss
from carvana_lib.pictures.u_drawing import record_levels
from carvana_lib.prediction import predict_array
from tools.classkit import __main__ as kit

ROOT = Path(__file__).parents[2]
TEACH = ROOT / "docs" / "teach"
QUIZ = {one["id"]: one for one in json.loads((TEACH / "quiz.json").read_text(encoding="utf-8"))}
SAMPLE = ROOT / "data" / "sample"


def counts(tp: int, fp: int, fn: int, tn: int = 0) -> torch.Tensor:
    return torch.tensor([[tp, fp, fn, tn]])


def shape_of_a_mask() -> str:
    mask = read_mask(list_pairs(SAMPLE)[0].mask)
    return f"{mask.shape}, `{mask.dtype}`"


def wrong_pixels_near_the_outline() -> str:
    """Four sides of notebook 01's car: the first whole distance that holds more than 99 % of the wrong pixels."""
    model, config = load_pretrained("small")
    wrong, everywhere = [], []
    for pair in list_pairs(SAMPLE, [held_out_fold(SAMPLE)], cars=1)[2::4]:
        true, mask = read_mask(pair.mask), predict_array(model, read_photo(pair.photo), config.size) > 0.5
        everywhere.append(distance_transform_edt(~boundary(true)))
        wrong.append(everywhere[-1][mask != true])
    distance = next(d for d in range(1, 100) if (np.concatenate(wrong) <= d).mean() > 0.99)
    assert (np.stack(everywhere) <= distance).mean() < 0.05  # "a few per cent of the photo"
    return f"within {distance} pixels"


def scores_of_an_empty_mask() -> str:
    empty = counts(0, 0, 22, 78)
    return f"Accuracy {accuracy(empty).item():.2f}, Dice {dice(empty).item():.0f}"


def accuracy_from_dice() -> str:
    # A fifth of 100,000 pixels, masks of one size: 1 % of the car is missed, as many pixels are extra.
    mask = counts(19_800, 200, 200, 79_800)
    assert dice(mask).item() == pytest.approx(0.99)
    return f"{accuracy(mask).item():.3f}"


def fold_of_the_car() -> str:
    return {TEST_FOLD: "Test", VALIDATION_FOLD: "Validation"}.get(int("00000000001f", 16) % 10, "Training")


def soft_and_hard() -> str:
    block = np.zeros((4, 4), np.float32)
    block.flat[:6] = 1
    soft = np.asarray(resize(Image.fromarray(block), (1, 1))).item()
    return f"{soft:.3f} and {int(soft > 0.5)}"


def steps_of_an_epoch() -> str:
    return f"{len(torch.randperm(50)) // 16} steps"


def bottom_of_the_net() -> str:
    net = UNet(base_channels=16, depth=4)
    with record_levels(net.to("meta").eval()) as levels:
        net(torch.empty(2, 3, 64, 96, device="meta"))
    return str(tuple(levels["down 4"][1].shape))


def two_convolutions() -> str:
    out = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3))(torch.zeros(1, 1, 60, 60))
    return "x".join(map(str, out.shape[2:]))


def dice_and_iou() -> str:
    return f"{dice(counts(4, 1, 2, 9)).item():.3f} and {iou(counts(4, 1, 2, 9)).item():.3f}"


def pull_at_a_sure_miss() -> str:
    """All pixels of a photo are right but one pixel of car."""
    truth = torch.zeros(1, 1, 40, 60)
    truth[..., 12:30, 15:43] = 1
    logits = 20 * truth - 10
    logits[..., 20, 20] = -8
    p, logits = torch.sigmoid(logits), logits.requires_grad_()
    losses = {"BCE": bce_loss, "Dice": dice_loss}
    pull = {name: torch.autograd.grad(loss(logits, truth), logits)[0][0, 0, 20, 20] for name, loss in losses.items()}
    assert pull["BCE"].item() * truth.numel() == pytest.approx(-1, abs=1e-3)
    # What remains of Dice's gradient without 2 / (T + s), as in notebook 05: y - D p is nearly 1.
    factor = -pull["Dice"] * (p.square().sum() + truth.sum() + 1) / 2
    p = p[0, 0, 20, 20].item()
    assert factor.item() == pytest.approx(p * (1 - p), rel=1e-2)
    return f"{max(pull, key=lambda name: abs(pull[name]))}; the gradient of Dice has the factor p (1 - p)"


def squares_and_the_one() -> str:
    """500 pixels of car are right; which p of one more pixel is best for a soft target, with squares, with sums?"""
    p = torch.arange(1, 100, dtype=torch.float64) / 100
    for y, hardest in ((0.3, 0.01), (0.7, 0.99)):
        car = torch.ones(1, 1, 1, 500, dtype=torch.float64)
        target = torch.cat([car, torch.full_like(car[..., :1], y)], 3)
        squares = [dice_loss(torch.cat([40 * car, one.logit().view(1, 1, 1, 1)], 3), target).item() for one in p]
        sums = 1 - (2 * (500 + p * y) + 1) / (1000 + p + y + 1)
        assert (p[np.argmin(squares)].item(), p[sums.argmin()].item()) == (y, hardest)
    nothing, sure = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), -200.0)
    assert dice_loss(sure, nothing).item() == 0
    return "0/0" if dice_loss(sure, nothing, smooth=0).isnan() else "a number"


def best_cut_of_a_calibrated_net() -> str:
    """Groups of pixels with every probability, as many of them car as foretold: where is the best cut at Dice 0.6?"""
    p = np.linspace(0.0005, 0.9995, 1000)
    # Pixels per probability; the power makes the best Dice 0.6.
    low, high = 0.0, 20.0
    for _ in range(60):
        power = (low + high) / 2
        pixels = (1 - p) ** power
        found = np.cumsum((p * pixels)[::-1])[::-1]
        score = 2 * found / (np.cumsum(pixels[::-1])[::-1] + (p * pixels).sum())
        low, high = (power, high) if score.max() > 0.6 else (low, power)
    assert score.max() == pytest.approx(0.6, abs=1e-3)
    return f"{p[score.argmax()]:.1f}"


def mean_of_forty() -> str:
    """The mean over photos is neither the mean of the processes nor the global Dice."""
    first, second = counts(10, 0, 0).repeat(10, 1), counts(1000, 500, 500).repeat(30, 1)
    both = torch.cat([first, second])
    each = [dice(part).item() for part in (first, second)]
    assert abs(dice(both).item() - np.mean(each)) > 0.01
    assert abs(dice(both).item() - dice(both, "global").item()) > 0.01
    return f"the mean over {len(both)}"


def scores_without_lights() -> str:
    """1,000 pixels: background, body, glass, wheel, and 5 of light, which are taken for body."""
    true = torch.repeat_interleave(torch.arange(5), torch.tensor([776, 160, 37, 22, 5])).to(torch.uint8)[None, None]
    matrix = confusion_matrices(true.where(true < 4, 1), true, 5)
    return f"Accuracy {right_share(matrix).item():.3f}, mean Dice {photo_scores(matrix, dice).item():.2f}"


def dice_of_the_wheel() -> str:
    """Rows and columns: body, wheel. The misses of 12.4 are recall, precision and IoU."""
    wheel = one_against_rest(torch.tensor([[[100, 5], [15, 45]]]))[:, 1]
    misses = 45 / (45 + 15), 45 / (45 + 5), iou(wheel).item()
    assert [choice["text"] for choice in QUIZ["12.4"]["wrong"]] == [f"{value:.2f}" for value in misses]
    return f"{dice(wheel).item():.2f}"


# What an answer must say, computed.
COMPUTED = {
    "01.1": shape_of_a_mask,
    "01.2": lambda: f"{dice(counts(90, 10, 50)).item():.2f}",
    "01.3": lambda: f"{dice(counts(0, 5, 7)).item():.0f}, however far",
    "01.5": wrong_pixels_near_the_outline,
    "02.1": scores_of_an_empty_mask,
    "02.3": accuracy_from_dice,
    "02.5": fold_of_the_car,
    "03.1": soft_and_hard,
    "03.5": steps_of_an_epoch,
    "04.1": bottom_of_the_net,
    "04.2": two_convolutions,
    "05.1": dice_and_iou,
    "05.2": lambda: f"exactly {torch.sigmoid(torch.tensor(-200.0)).item():.0f} in float32",
    "05.3": pull_at_a_sure_miss,
    "05.4": squares_and_the_one,
    "07.3": lambda: f"About {520 / (2 * 20_000):.3f}",
    "08.3": lambda: f"On fold {TEST_FOLD}",
    "08.4": lambda: f"At {best_cut_of_a_calibrated_net()}",
    "09.5": lambda: rle_encode(np.array([[0, 1, 1], [1, 0, 1]], bool)),
    "10.1": lambda: f"About {1 / (0.92 + 0.08 / 200):.2f} times",
    "10.2": lambda: f"{(torch.tensor(256, dtype=torch.bfloat16) + 1).item():.0f};",
    "10.4": mean_of_forty,
    "11.2": lambda: f"{10 * math.exp(-((1 + 1) ** 2) / (2 * 5**2)):.1f}",
    "12.1": lambda: f"{bce_loss(torch.zeros(1, 5, 1, 1), torch.eye(5)[2].view(1, 5, 1, 1)).item():.3f}",
    "12.3": scores_without_lights,
    "12.4": dice_of_the_wheel,
}


@pytest.mark.parametrize("name", COMPUTED)
def test_an_answer_that_is_a_number_is_what_the_library_computes(name):
    wanted = COMPUTED[name]()
    one = QUIZ[name]
    assert wanted in one["answer"]
    assert not [wrong["text"] for wrong in one["wrong"] if wanted == wrong["text"]]


def test_every_answer_with_a_number_is_recomputed():
    with_number = {name for name, one in QUIZ.items() if re.search(r"\d", one["answer"])}
    assert len(with_number) > 15
    assert with_number - COMPUTED.keys() == set()


def test_the_misses_are_what_their_reasons_say():
    """Wrong numbers come from a misconception, and that misconception gives this number."""
    mask = counts(90, 10, 50)
    wrong = [choice["text"] for choice in QUIZ["01.2"]["wrong"]]
    assert wrong == [f"{value:.2f}" for value in (iou(mask).item(), 90 / 100, 90 / 140)]
    squares_first = 10 * math.exp(-(1**2 + 1**2) / (2 * 5**2))
    assert [choice["text"] for choice in QUIZ["11.2"]["wrong"]] == ["10.0", f"{squares_first:.1f}", "0.9"]
    assert f"{1 - 0.2 * 0.01:.3f}" in [choice["text"] for choice in QUIZ["02.3"]["wrong"]]


def test_what_answers_say_of_losses():
    assert torch.sigmoid(torch.tensor(-200.0)) == 0
    assert bce_loss(torch.full((1, 1, 1, 1), -200.0), torch.ones(1, 1, 1, 1)).item() == 200
    p = torch.sigmoid(torch.tensor(-8.0)).item()
    assert f"{p * (1 - p):.4f}" in QUIZ["05.3"]["wrong"][1]["why"]
    two = torch.tensor([[4000, 0, 0, 6000], [0, 0, 40, 9960]])
    assert f"{dice(two, 'global').item():.3f}" in QUIZ["05.5"]["because"]
    assert dice(two).item() == 0.5


def test_numbers_quoted_from_notebooks_stand_there():
    """Outputs of the committed notebooks: fields of 04, rates of 06, the larger input of 09."""
    for number, values, name in (
        ("04", ["92 pixels", "188 pixels", "380 pixels", "depth 1: 18 pixels"], "04.4"),
        ("06", ["rate 0.0001", "rate 5:"], "06.1"),
    ):
        said = outputs(number)
        assert [value for value in values if value not in said] == [], name
    assert all(value in QUIZ["04.4"]["because"] for value in ("92", "188", "380"))
    table = re.findall(r"\| \d+x\d+ \| ([\d.]+) \| ~([\d.]+) \|", outputs("09"))
    dice_at = {float(work): float(score) for work, score in table}
    assert dice_at[4.0] < dice_at[1.0] - 0.05  # 09.4: it falls clearly


def outputs(number: str) -> str:
    [path] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    found = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    return "\n".join(o.get("text", "") or o.get("data", {}).get("text/markdown", "") for o in found)


def test_a_bigger_input_may_help_a_net_that_is_far_from_its_ceiling():
    """07.5 against the experiment: the larger size wins although the smaller one is far below its ceiling."""
    results = ROOT / "docs" / "results"
    sizes = json.loads((results / "experiments" / "size.json").read_text())["arms"]
    means = {size: np.mean([run["dice"] for run in runs]) for size, runs in sizes.items()}
    order = sorted(means, key=lambda size: int(re.match(r"\d+", size)[0]))
    assert [means[size] for size in order] == sorted(means.values())
    assert QUIZ["07.5"]["answer"].startswith("It may")


def test_sizes_and_types_that_questions_name_are_the_librarys():
    assert "959x640" in QUIZ["09.4"]["question"]
    assert preset("small").size == (959, 640)
    assert CarvanaDataset(list_pairs(SAMPLE, [TEST_FOLD])[:1], (48, 32)).batch([0])[0].dtype == torch.uint8  # 03.4


def test_each_question_has_one_right_choice_and_a_reason_against_each_other():
    for name, one in QUIZ.items():
        texts = [one["answer"], *(wrong["text"] for wrong in one["wrong"])]
        assert len(set(texts)) == len(texts) >= 3, name
        assert one["because"], name
        assert all(len(wrong["why"]) > 10 for wrong in one["wrong"]), name


def test_the_right_letter_is_not_always_the_same():
    letters = [kit.lettered(one)["letter"] for one in QUIZ.values()]
    assert max(letters.count(letter) for letter in "abc") < len(letters) / 2


def test_the_page_is_written_from_the_file():
    assert (TEACH / "quiz.md").read_text(encoding="utf-8") == kit.quiz("quiz.md", mode="page"), (
        "run `python -m tools.classkit --quiz`"
    )
