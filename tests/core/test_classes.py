"""Several classes: what masks mean, shares, losses, scores, a training."""

import csv
import json

import numpy as np
import pytest
import torch
from helpers import draw, tiny
from PIL import Image
from torch import nn
from torchmetrics.functional.segmentation import dice_score

from carvana_lib.base.class_counts import confusion_matrices, most_likely, one_against_rest, per_class
from carvana_lib.base.classes import Classes, palette, paletted, shares
from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.config import preset
from carvana_lib.data import SAMPLE, CarvanaDataset, list_pairs
from carvana_lib.evaluation import Evaluation, evaluate
from carvana_lib.extras.class_baselines import class_baselines
from carvana_lib.extras.thresholds import predict_dataset
from carvana_lib.extras.tiles import predict_tiled
from carvana_lib.images import read_labels, read_pair
from carvana_lib.losses import LOSSES, bce_dice_loss, bce_loss, boundary_weights, dice_loss
from carvana_lib.metrics import accuracy, dice, iou
from carvana_lib.pictures.class_overlays import class_overlay
from carvana_lib.prediction import predict_array, predict_labels, predict_logits
from carvana_lib.prepare.cache import cached_dataset, load_arrays
from carvana_lib.run.alarms import check_epoch, check_masks
from carvana_lib.run.fit import fit
from carvana_lib.run.weights import load_model, start_weights
from carvana_lib.transforms import Augment

NAMES = ("background", "body", "glass")
THREE = Classes(NAMES)
VOC = Classes(NAMES, ignore=255)
CAMVID = Classes(NAMES, ("#000000", "#804080", "#c0c0c0"), "#010203")
PHOTOS = 12


def labels_of(number: int) -> np.ndarray:
    """An ellipse with a window in it, and a stripe that nobody labelled."""
    mask = draw(200 + number, 1)[1]
    labels = mask.astype(np.uint8)
    labels[20:30, 40:56] *= 2
    labels[60:, 90:] = 255
    return labels


def write(root, ignore=True):
    """Twelve photos with palette masks in VOC's style."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(PHOTOS):
        draw(200 + number, 1)[0].save(root / "images" / f"{number}.png")
        labels = labels_of(number)
        paletted(labels if ignore else labels * (labels < 255)).save(root / "labels" / f"{number}.png")
    text = f"photos = 'images'\nmasks = 'labels/{{name}}.png'\nclasses = {list(NAMES)}\n"
    (root / "dataset.toml").write_text(text + "ignore = 255\n" * ignore)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("classes") / "data")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("classes") / "run"
    history = fit(tiny(epochs=2, batch_size=2), data, out, progress=False)
    return out, history


def as_rgb(labels, classes):
    codes = {number: int(colour[1:], 16) for number, colour in enumerate(classes.colours)} | {255: 0x010203}
    rgb = np.zeros((*labels.shape, 3), np.uint8)
    for number, code in codes.items():
        rgb[labels == number] = list(code.to_bytes(3, "big"))
    return Image.fromarray(rgb)


def two_bits(labels):
    """A palette of four colours, which Pillow writes with two bits a pixel."""
    image = Image.fromarray(labels, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize(
    ("picture", "classes", "suffix"),
    [
        (lambda labels: Image.fromarray(labels), VOC, "png"),
        (lambda labels: Image.fromarray(labels.astype(np.uint16)), VOC, "png"),
        (lambda labels: Image.fromarray(labels.astype(np.uint16)), VOC, "tif"),
        (lambda labels: Image.merge("RGB", [Image.fromarray(labels)] * 3), VOC, "png"),
        (paletted, VOC, "png"),
        (lambda labels: two_bits(np.where(labels == 255, 3, labels).astype(np.uint8)), Classes(NAMES, ignore=3), "png"),
        (lambda labels: as_rgb(labels, CAMVID), CAMVID, "png"),
        (lambda labels: as_rgb(labels, CAMVID).convert("RGBA"), CAMVID, "tif"),
        (lambda labels: as_rgb(labels, CAMVID).quantize(4), CAMVID, "png"),
    ],
)
def test_masks_of_any_mode_become_class_numbers(tmp_path, picture, classes, suffix):
    labels = labels_of(0)
    assert set(np.unique(labels)) == {0, 1, 2, 255}
    file = tmp_path / f"mask.{suffix}"
    picture(labels).save(file)
    read = read_labels(file, classes)
    assert read.dtype == np.uint8
    assert np.array_equal(read, labels)


def test_greys_of_two_bits_are_their_numbers(tmp_path):
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    # Two rows of four pixels: 0 1 2 1, then 2 2 0 1. Pillow does not write such files, but other programs do.
    rows = zlib.compress(bytes([0, 0b00011001, 0, 0b10100001]))
    header = struct.pack(">IIBBBBB", 4, 2, 2, 0, 0, 0, 0)
    file = tmp_path / "mask.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    assert read_labels(file, THREE).tolist() == [[0, 1, 2, 1], [2, 2, 0, 1]]


def test_one_bit_is_two_classes_and_any_number_but_0_is_the_second(tmp_path):
    two = Classes(("background", "cell"), ignore=255)
    Image.fromarray(labels_of(0) == 1).save(tmp_path / "bits.png")
    assert np.array_equal(read_labels(tmp_path / "bits.png", two), labels_of(0) == 1)
    Image.fromarray(np.uint8([[0, 7, 254, 255]])).save(tmp_path / "numbers.png")
    assert read_labels(tmp_path / "numbers.png", two).tolist() == [[0, 1, 1, 255]]


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (
            np.uint8([[0, 1, 3]]),
            THREE,
            r"holds the value 3, which is none of its classes \(0 background, 1 body, 2 gla",
        ),
        (np.uint16([[0, 700, 255]]), VOC, "holds the value 700, which is none"),
        (
            np.uint8([[[0, 0, 0], [128, 64, 129]]]),
            CAMVID,
            "holds the colour #804081, which is none.*ignore = '#804081'",
        ),
        (np.uint8([[[0, 0, 0], [9, 9, 1]]]), VOC, "is coloured: give the colour of each class"),
        (np.uint8([[[0, 0, 0, 255], [1, 1, 1, 7]]]), VOC, "is transparent in places"),
        (np.float32([[0, 1]]), VOC, "holds values that are no class numbers"),
    ],
)
def test_what_no_class_has_is_refused_in_one_line(tmp_path, values, classes, message):
    file = tmp_path / ("mask.tif" if values.dtype == np.float32 else "mask.png")
    Image.fromarray(values).save(file)
    with pytest.raises(CarvanaError, match=message) as caught:
        read_labels(file, classes)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shares_are_means_over_areas_and_ignored_pixels_belong_to_no_class():
    labels = np.uint8([[0, 1, 2, 2], [1, 1, 255, 2]])
    expected = 255 * np.array([[[0.25, 0]], [[0.75, 0]], [[0, 0.75]]])
    np.testing.assert_allclose(shares(labels, 3, (2, 1)), expected, atol=1)
    assert (shares(labels, 3, (4, 2)).argmax(0)[labels < 255] == labels[labels < 255]).all()


def test_datasets_hold_shares_from_files_and_from_the_cache(data, tmp_path):
    pairs = list_pairs(data)
    plain = CarvanaDataset(pairs, (48, 32))
    assert plain.classes == NAMES
    images, masks = plain.batch([3, 5])
    assert (images.shape, masks.shape, masks.dtype) == ((2, 3, 32, 48), (2, 3, 32, 48), torch.uint8)
    _, mask = plain[3]
    assert torch.equal(mask, masks[0] / 255)
    cached = cached_dataset(pairs, (48, 32), tmp_path, progress=False)
    for ours, theirs in zip(cached.batch([3, 5]), (images, masks), strict=True):
        assert torch.equal(ours, theirs)
    assert np.array_equal(cached.masks(), plain.masks())
    assert not cached.keep_on(torch.device("cpu"), 2 * 12 * 48 * 32 * 6 - 1), "a class takes a byte a pixel"
    assert cached.keep_on(torch.device("cpu"), 2 * 12 * 48 * 32 * 6)
    assert torch.equal(cached.batch([3, 5])[1], masks)
    assert np.array_equal(plain.native_mask(0), np.asarray(Image.open(pairs[0].mask)))
    plain.keep_masks(torch.device("cpu"))
    assert torch.equal(plain.native_masks_on([4], torch.device("cpu"))[0], torch.from_numpy(plain.native_mask(4)))


def test_the_cache_knows_what_mask_values_mean(data, tmp_path):
    before = load_arrays(list_pairs(data), (24, 16), tmp_path / "cache", progress=False)[1]
    text = (data / "dataset.toml").read_text()
    try:
        (data / "dataset.toml").write_text(text.replace("'glass'", "'glass', 'wheel'"))
        after = load_arrays(list_pairs(data), (24, 16), tmp_path / "cache", progress=False)[1]
    finally:
        (data / "dataset.toml").write_text(text)
    assert (before.shape[1], after.shape[1]) == (3, 4)


def test_folders_with_other_classes_are_not_mixed(data, tmp_path):
    other = write(tmp_path / "other")
    for file in sorted((other / "images").iterdir()):
        file.rename(file.with_stem(f"b{file.stem}"))
    for file in sorted((other / "labels").iterdir()):
        file.rename(file.with_stem(f"b{file.stem}"))
    assert len(list_pairs([data, other])) == 2 * PHOTOS
    text = (other / "dataset.toml").read_text()
    (other / "dataset.toml").write_text(text.replace("'glass'", "'window'"))
    with pytest.raises(CarvanaError, match=r"has other classes than .*: use one of the two data folders"):
        list_pairs([data, other])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 12, 16, generator=generator)
    targets = torch.softmax(3 * torch.randn(2, 4, 12, 16, generator=generator), 1)
    return logits, targets


def test_bce_of_several_classes_is_pytorchs_cross_entropy(batch):
    logits, targets = batch
    assert torch.allclose(bce_loss(logits, targets), nn.functional.cross_entropy(logits, targets))
    hard, weights = targets.argmax(1), torch.tensor([1.0, 5.0, 0.5, 2.0])
    one_hot = nn.functional.one_hot(hard, 4).movedim(-1, 1).float()
    expected = nn.functional.cross_entropy(logits, hard, weights)
    assert torch.allclose(bce_loss(logits, one_hot, weights), expected)
    assert torch.allclose(bce_dice_loss(logits, one_hot, weights), expected + dice_loss(logits, one_hot))


def test_dice_of_several_classes_is_the_mean_of_each_ones_formula(batch):
    logits, targets = batch
    chances = logits.softmax(1)
    each = [
        1 - (2 * (p * t).sum() + 1) / (p.square().sum() + t.square().sum() + 1)
        for photo, masks in zip(chances, targets, strict=True)
        for p, t in zip(photo, masks, strict=True)
    ]
    assert torch.allclose(dice_loss(logits, targets), torch.stack(each).mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_count_for_nothing_in_a_loss(batch, loss):
    logits, targets = batch
    targets = targets.clone()
    targets[:, :, 3:6, 2:9] = 0
    logits.requires_grad_()
    value = LOSSES[loss](logits, targets)
    value.backward()
    assert (logits.grad[:, :, 3:6, 2:9] == 0).all()
    assert (logits.grad[:, :, 7:] != 0).any()
    other = logits.detach().clone()
    other[:, :, 3:6, 2:9] = 100 * torch.randn(2, 4, 3, 7)
    assert torch.allclose(LOSSES[loss](other, targets), value)
    nothing = LOSSES[loss](logits, torch.zeros_like(targets))
    assert torch.isfinite(nothing)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_few_steps_lower_every_loss_of_several_classes(batch, loss):
    _, targets = batch
    targets = nn.functional.one_hot(targets.argmax(1), 4).movedim(-1, 1).float()
    logits = torch.zeros_like(targets, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.5)
    first = LOSSES[loss](logits, targets).item()
    for _ in range(30):
        optimizer.zero_grad()
        LOSSES[loss](logits, targets).backward()
        optimizer.step()
    assert LOSSES[loss](logits, targets).item() < 0.1 * first
    assert torch.equal(logits.argmax(1), targets.argmax(1))


def test_boundary_weights_of_two_logits_are_those_of_one(batch):
    """Car and background as two classes have the same distances and nearly the same class weights."""
    car = (torch.rand(2, 1, 40, 60, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    both = torch.cat([1 - car, car], 1)
    assert torch.allclose(boundary_weights(both), boundary_weights(car), rtol=1e-5)
    three = torch.cat([both, torch.zeros_like(car)], 1)
    near = boundary_weights(three, w0=100.0) - boundary_weights(three, w0=0.0)
    assert torch.allclose(near, boundary_weights(car, w0=100.0) - boundary_weights(car, w0=0.0), rtol=1e-4)


def test_boundary_weights_see_the_nearest_other_class():
    targets = torch.zeros(1, 3, 1, 30)
    targets[0, 0, 0, :10] = targets[0, 1, 0, 10:20] = targets[0, 2, 0, 20:] = 1
    found = (boundary_weights(targets, w0=10.0, sigma=5.0) - boundary_weights(targets, w0=0.0))[0, 0, 0]
    place = torch.arange(30)
    distance = torch.minimum(
        torch.where(place < 10, 10 - place, place - 9), torch.where(place < 20, 20 - place, place - 19)
    )
    assert torch.allclose(found, 10 * torch.exp(-distance.float().square() / 50), atol=1e-5)


def test_augmentation_moves_photo_and_shares_together_and_keeps_what_is_in_front(batch):
    _, targets = batch
    images = targets[:, 1:].clone()
    change = Augment(rotate=10, scale=0.2, shift=0.1)
    changed, masks = change(images, targets, torch.Generator().manual_seed(2))
    assert torch.allclose(changed, masks[:, 1:], atol=1e-6)
    hard = nn.functional.one_hot(targets.argmax(1), 4).movedim(-1, 1).float()
    hard[:, :, :3] = 0  # ignored: it may be anything, and stays
    pasted, masks = Augment(flip=0, backdrop=1.0)(images, hard, torch.Generator().manual_seed(3))
    behind = (hard[:, :1] == 1).expand_as(images)
    assert torch.equal(masks, hard)
    assert torch.equal(pasted[~behind], images[~behind])
    assert (pasted[behind] != images[behind]).float().mean() > 0.9


class Oracle(nn.Module):
    """Gives the logits it was made with."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.weight, self.next = logits, nn.Parameter(torch.zeros(1)), 0

    def forward(self, images):
        rows = [(self.next + i) % len(self.logits) for i in range(len(images))]
        self.next += len(images)
        return self.logits[rows]


def test_scores_equal_torchmetrics_and_do_not_depend_on_the_batch(data, run):
    model, config = load_model(run[0])
    dataset = cached_dataset(list_pairs(data), config.size, progress=False)
    results = [evaluate(model, dataset, batch_size=size, progress=False) for size in (1, 7, 16)]
    assert results[0].summary() == results[1].summary() == results[2].summary()
    assert all(torch.equal(result.counts, results[0].counts) for result in results)
    result = results[0]
    logits = predict_logits(model, dataset.batch(range(PHOTOS))[0])
    true = torch.stack([torch.from_numpy(dataset.native_mask(index)) for index in range(PHOTOS)])
    predicted = nn.functional.interpolate(logits, true.shape[1:], mode="bilinear").argmax(1)
    # torchmetrics knows no pixels to leave out: they become right ones of a class of their own.
    predicted[true == 255] = 3
    expected = dice_score(predicted, true.long().clamp(max=3), 4, average="none", input_format="index")[:, :3].numpy()
    np.testing.assert_allclose(per_class(result.counts, dice).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(result.dice, np.nanmean(expected[:, 1:], axis=1), atol=1e-6)
    summary = result.summary()
    assert summary["per_class"]["glass"]["dice"] == pytest.approx(np.nanmean(expected[:, 2]), abs=1e-6)
    assert summary["dice"] == pytest.approx(result.dice.mean(), abs=1e-12)
    assert sum(map(sum, summary["confusion"])) == (true != 255).sum()
    assert json.loads(json.dumps(summary)) is not None
    right = (predicted == true).sum((1, 2)) / (true != 255).sum((1, 2))
    np.testing.assert_allclose(result.scores(accuracy), right, atol=1e-6)


def test_ignored_pixels_count_for_nothing_in_a_score(data):
    dataset = CarvanaDataset(list_pairs(data), (48, 32))
    true = torch.stack([torch.from_numpy(dataset.native_mask(index)) for index in range(PHOTOS)])
    right = nn.functional.one_hot(true.clamp(max=2).long(), 3).movedim(-1, 1).float()
    wrong = torch.where((true == 255)[:, None], right.roll(1, 1), right)
    assert not torch.equal(right, wrong)
    for logits in (right, wrong):
        result = evaluate(Oracle(logits).eval(), dataset, batch_size=4, progress=False)
        assert result.summary()["dice"] == result.summary()["accuracy"] == 1.0


def matrices(*tables):
    return torch.tensor(tables, dtype=torch.int64)


def test_a_class_that_is_nowhere_gives_no_free_point():
    only_body = [[50, 2, 0], [6, 42, 0], [0, 0, 0]]
    nothing = [[100, 0, 0], [0, 0, 0], [0, 0, 0]]
    false_glass = [[90, 0, 10], [0, 0, 0], [0, 0, 0]]
    found = Evaluation(["a", "b", "c"], matrices(only_body, nothing, false_glass), np.array([]), "xyz", NAMES)
    body = 84 / (84 + 8)
    np.testing.assert_allclose(found.dice, [body, 1.0, 0.0])
    np.testing.assert_allclose(found.scores(iou), [42 / 50, 1.0, 0.0])
    rows = found.summary()["per_class"]
    assert rows["body"] == {"dice": pytest.approx(body), "iou": pytest.approx(0.84), "photos": 1}
    assert rows["glass"] == {"dice": 0.0, "iou": 0.0, "photos": 1}
    none = Evaluation(["a"], matrices(only_body), np.array([]), "x", NAMES).summary()["per_class"]["glass"]
    assert none == {"dice": None, "iou": None, "photos": 0}
    assert found.part({"a", "c"}).dice.tolist() == [found.dice[0], 0.0]


def test_confusion_counts_true_rows_and_predicted_columns():
    true, predicted = torch.tensor([[[0, 1, 2, 255]]]).byte(), torch.tensor([[[0, 2, 2, 1]]]).byte()
    found = confusion_matrices(predicted, true, 3)
    assert found.tolist() == [[[1, 0, 0], [0, 0, 1], [0, 0, 1]]]
    assert one_against_rest(found)[0].tolist() == [[1, 0, 0, 2], [0, 0, 1, 2], [1, 1, 0, 1]]
    many = torch.arange(40).byte().view(1, 5, 8)
    assert torch.equal(confusion_matrices(many, many, 40)[0], torch.eye(40, dtype=torch.int64))
    assert confusion_matrices(many[:0], many[:0], 3).shape == (0, 3, 3)


def test_the_most_likely_class_is_that_of_the_enlarged_logits():
    logits = torch.randn(3, 6, 9, 7, generator=torch.Generator().manual_seed(4))
    enlarged = nn.functional.interpolate(logits, (40, 30), mode="bilinear")
    assert torch.equal(most_likely(logits, 40, 30), enlarged.argmax(1).byte())
    assert most_likely(torch.zeros(1, 3, 2, 2), 4, 4).max() == 0


def test_a_short_training_learns_and_its_files_know_the_classes(data, run, tmp_path):
    out, history = run
    assert history[-1]["loss"] < history[0]["loss"]
    model, config = load_model(out)
    assert config.classes == NAMES
    assert json.loads((out / "config.json").read_text())["classes"] == list(NAMES)
    photo = list_pairs(data)[0].photo
    labels = predict_labels(model, photo, config.size)
    assert (labels.dtype, labels.shape) == (np.uint8, (64, 96))
    assert labels.max() < 3
    with pytest.raises(CarvanaError, match="predict_labels gives their numbers"):
        predict_array(model, Image.open(photo), config.size)
    with pytest.raises(CarvanaError, match="tells 3: predict_labels"):
        predict_tiled(model, Image.open(photo), config.size, tile=32, overlap=8)
    with pytest.raises(CarvanaError, match="a threshold tells two classes apart, and these data have 3"):
        predict_dataset(model, CarvanaDataset(list_pairs(data), config.size))
    with pytest.raises(CarvanaError, match="use predict_array"):
        predict_labels(tiny().build_model().eval(), photo, config.size)
    with pytest.raises(CarvanaError, match="a net with 1 logits a pixel, and data with 3 classes"):
        evaluate(tiny().build_model().eval(), CarvanaDataset(list_pairs(data), config.size), progress=False)
    resumed = fit(tiny(epochs=2, batch_size=2), data, out, resume=True, progress=False)
    assert resumed == history
    with pytest.raises(CarvanaError, match="classes=a, b, c are not those of the data, background, body, glass"):
        fit(tiny(classes=("a", "b", "c")), data, tmp_path / "run", progress=False)


def test_parts_of_cars_are_learned_and_their_cars_keep_their_folds(tmp_path, capsys):
    parts, cars = (list_pairs(root) for root in (SAMPLE / "parts", SAMPLE))
    assert {pair.name: pair.fold for pair in parts} == {pair.name: pair.fold for pair in cars}
    settings = {"base_channels": 8, "train_cars": 4, "learning_rate": 2e-2, "ema_decay": 0.0, "loss": "bce"}
    history = fit(tiny(**settings), SAMPLE / "parts", tmp_path / "run", progress=False)
    assert history[1]["loss"] < 0.6 * history[0]["loss"]
    assert history[1]["dice"] > 0.2, "nothing but background has 0"
    small = preset("small", classes=parts[0].classes.names)
    start_weights(small.build_model(), "small")
    assert "its last layer, of 1 logit a pixel, is replaced by a new one of 5" in capsys.readouterr().err


def test_commands_report_each_class(data, run, tmp_path, capsys):
    weights = ["--weights", str(run[0]), "--data", str(data)]
    files = ["--json", str(tmp_path / "scores.json"), "--figure", str(tmp_path / "masks.png")]
    assert main(["evaluate", *weights, "--fold", "0,1", *files]) == 0
    printed = capsys.readouterr().out
    assert "Dice is the mean over the classes without background. Each class:" in printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    for name, expected in scores["per_class"].items():
        row = next(line for line in printed.splitlines() if line.startswith(name)).split()
        assert row[1:4] == [f"{expected['dice']:.4f}", f"{expected['iou']:.4f}", str(expected["photos"])]
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(rows) == scores["n_images"]
    assert np.mean([float(row["dice"]) for row in rows]) == pytest.approx(scores["dice"])
    assert np.mean([float(row["dice_body"]) for row in rows]) == pytest.approx(scores["per_class"]["body"]["dice"])
    assert (tmp_path / "masks.png").stat().st_size > 10_000
    assert main(["evaluate", *weights, "--threshold", "0.7"]) == 1
    assert "--threshold tells two classes apart, and this net has 3: leave it out" in capsys.readouterr().err
    assert main(["evaluate", "--weights", str(run[0]), "--data", str(SAMPLE / "parts")]) == 1
    assert "the net knows background, body, glass, and the data have background, body, glass, wheel, li" in (
        capsys.readouterr().err
    )
    assert main(["submit", str(data / "images"), "--weights", str(run[0]), "--out", str(tmp_path / "x.csv")]) == 1
    assert "Kaggle's file holds one mask a photo" in capsys.readouterr().err


def test_a_net_of_two_classes_starts_one_of_several_with_a_new_head(data, trained, tmp_path, capsys):
    known, _ = load_model(trained)
    history = fit(
        tiny(epochs=1, batch_size=2, learning_rate=1e-6, start=str(trained)), data, tmp_path / "run", progress=False
    )
    assert "its last layer, of 1 logit a pixel, is replaced by a new one of 3" in capsys.readouterr().err
    assert 0 <= history[0]["dice"] <= 1
    model, _ = load_model(tmp_path / "run")
    assert model.head.weight.shape[0] == 3
    for name, weight in known.named_parameters():
        if "head" not in name:
            assert torch.allclose(model.get_parameter(name), weight, atol=1e-3), name


def test_baselines_of_several_classes(data):
    pairs = list_pairs(data)
    train, held_out = (CarvanaDataset([p for p in pairs if (p.fold > 1) == own], (48, 32)) for own in (True, False))
    rows = class_baselines(train, held_out, progress=False)
    true = [held_out.native_mask(index) for index in range(len(held_out))]
    nothing = [(labels == 0).sum() / (labels != 255).sum() for labels in true]
    assert rows["all background"] == {"dice": 0.0, "accuracy": pytest.approx(np.mean(nothing))}
    commonest = rows["each pixel's commonest class"]
    assert commonest["dice"] > 0.3
    assert commonest["accuracy"] > np.mean(nothing)
    assert list(class_baselines(None, held_out, progress=False)) == ["all background"]
    assert list(class_baselines(held_out, held_out, progress=False)) == ["all background"]


def test_masks_that_teach_nothing_are_said(data):
    masks = np.zeros((2, 3, 4, 4), np.uint8)
    masks[:, 0] = 255
    with pytest.raises(CarvanaError, match="every training mask is of a single class"):
        check_masks(masks, "training", NAMES)
    masks[1, :, :2] = np.uint8([0, 255, 0])[:, None, None]
    with pytest.warns(
        CarvanaWarning, match="the class glass fills half a pixel in no training mask: it is not learned"
    ):
        check_masks(masks, "training", NAMES)
    one_class = matrices([[0, 90, 0], [0, 10, 0], [0, 0, 0]])
    history = [{"loss": 1.0, "dice": 0.1}, {"loss": 0.5, "dice": 0.1}]
    with pytest.warns(CarvanaWarning, match="the net calls every validation photo body from edge to edge"):
        check_epoch(tiny(classes=NAMES), history, one_class)


def test_colours_tell_classes_apart_and_palettes_keep_numbers(tmp_path):
    colours = palette(200)
    assert len({tuple(colour) for colour in colours.tolist()[:36]}) == 36
    assert colours[0].tolist() == [0, 0, 0]
    labels = labels_of(0)
    paletted(labels).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.asarray(image.convert("RGB"))[labels == 2][0], colours[2])
    photo = np.full((64, 96, 3), 100, np.uint8)
    over = class_overlay(photo, labels, opacity=1.0)
    assert np.array_equal(over[(labels == 0) | (labels == 255)], photo[(labels == 0) | (labels == 255)])
    assert (over[labels == 1] == colours[1]).all()
    with pytest.raises(ValueError, match="labels must be class numbers"):
        class_overlay(photo, labels[1:])


def test_a_mask_of_another_size_than_its_photo_is_refused(data, tmp_path):
    pair = list_pairs(data)[0]
    paletted(labels_of(0)[:50]).save(tmp_path / "mask.png")
    with pytest.raises(CarvanaError, match="is 96x50 but its photo is 96x64"):
        read_pair(pair.photo, tmp_path / "mask.png", (48, 32), classes=pair.classes)
