import json
from dataclasses import FrozenInstanceError, asdict, replace

import pytest
import torch

from carvana_lib.base.errors import CarvanaError
from carvana_lib.config import PRESETS, TrainConfig, preset
from carvana_lib.losses import LOSSES
from carvana_lib.unet import count_parameters


def as_json(**changes):
    return json.dumps(asdict(TrainConfig()) | changes)


def test_the_five_presets_exist():
    assert set(PRESETS) == {"quick", "published", "coarse", "small", "best"}


def test_published_is_the_protocol_of_the_source_project():
    config = preset("published")
    assert config.size == (240, 240)
    assert (config.base_channels, config.depth, config.norm, config.up) == (64, 4, "batch", "transpose")
    assert (config.loss, config.soft_masks) == ("bce", False)
    assert (config.optimizer, config.learning_rate, config.schedule) == ("adam", 1e-4, "constant")
    assert (config.batch_size, config.epochs, config.train_cars) == (32, 10, 0)
    assert (config.flip, config.rotate, config.scale, config.shift, config.colour) == (0, 0, 0, 0, 0)
    assert config.ema_decay == 0


def test_the_other_presets_are_what_their_names_say():
    quick, coarse, small, best = (preset(name) for name in ("quick", "coarse", "small", "best"))
    pixels = [config.size[0] * config.size[1] for config in (quick, coarse, small, best)]
    assert pixels == sorted(pixels)
    assert quick.epochs < coarse.epochs < best.epochs
    assert best.soft_masks
    assert small.soft_masks
    # The shipped file, in half precision, has under 8 MB.
    with torch.device("meta"):
        parameters = count_parameters(small.build_model())
    assert 2 * parameters < 8e6
    # `small` goes on from `coarse`: the same net but for its patches.
    assert replace(coarse, patch=2).build_model().state_dict().keys() == small.build_model().state_dict().keys()


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    config = PRESETS[name]
    again = TrainConfig.from_json(config.to_json())
    assert again == config
    assert isinstance(again.size, tuple)


def test_json_may_leave_out_settings():
    assert TrainConfig.from_json('{"epochs": 3}') == TrainConfig(epochs=3)
    assert TrainConfig.from_json("{}") == TrainConfig()


def test_whole_numbers_become_floats_and_lists_sizes():
    config = TrainConfig.from_json('{"learning_rate": 1, "rotate": 5, "size": [64, 48]}')
    assert (config.learning_rate, config.rotate, config.size) == (1.0, 5.0, (64, 48))
    assert type(config.learning_rate) is float


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(CarvanaError, match=r"run/config\.json .*does not know: epoch, lr"):
        TrainConfig.from_json('{"lr": 0.1, "epoch": 2, "epochs": 2}', source="run/config.json")
    with pytest.raises(CarvanaError, match="no setting lr"):
        preset("quick", lr=0.1)


def test_unknown_presets_are_refused_with_the_names_there_are():
    with pytest.raises(CarvanaError, match="no preset 'huge': choose one of quick, published, coarse, small, best"):
        preset("huge")


WRONG_TYPES = [
    ("epochs", True),
    ("epochs", 2.0),
    ("epochs", "2"),
    ("epochs", None),
    ("seed", False),
    ("batch_size", [16]),
    ("learning_rate", "0.1"),
    ("learning_rate", True),
    ("flip", None),
    ("soft_masks", 1),
    ("channels_last", "true"),
    ("compile", None),
    ("loss", 3),
    ("norm", False),
    ("up", None),
    ("size", 240),
    ("size", [240]),
    ("size", [240, 160, 3]),
    ("size", [240, 160.0]),
    ("size", [True, 160]),
    ("size", "240x160"),
    ("size", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES)
def test_wrong_types_are_refused_by_name(name, value):
    with pytest.raises(CarvanaError, match=f"^{name}=.* must be "):
        TrainConfig(**{name: value})
    with pytest.raises(CarvanaError, match=f"^{name}=.* must be "):
        TrainConfig.from_json(as_json(**{name: value}))


OUT_OF_RANGE = [
    ("size", (7, 160)),
    ("size", (30_000, 30_000)),
    ("size", (240, 0)),
    ("size", (-240, 160)),
    ("size", (20_000, 2501)),
    ("base_channels", 0),
    ("depth", 0),
    ("epochs", 0),
    ("epochs", -1),
    ("batch_size", 0),
    ("accumulate", 0),
    ("log_every", 0),
    ("flip", 1.01),
    ("flip", -0.01),
    ("scale", 1.5),
    ("scale", 0.91),
    ("rotate", 180.1),
    ("base_channels", 1025),
    ("depth", 9),
    ("patch", 0),
    ("patch", 17),
    ("epochs", 1_000_001),
    ("shift", -0.1),
    ("warped", 1.1),
    ("colour", 2),
    ("ema_decay", 1.1),
    ("ema_decay", float("nan")),
    ("learning_rate", 0),
    ("learning_rate", -1e-3),
    ("learning_rate", 10),
    ("learning_rate", float("nan")),
    ("weight_decay", -0.1),
    ("train_cars", -1),
    ("checkpoint_minutes", -1),
    ("rotate", -5),
    ("loss", "mse"),
    ("norm", "group"),
    ("up", "nearest"),
    ("optimizer", "sgd"),
    ("schedule", "cosine"),
    ("precision", "fp8"),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(CarvanaError, match=name):
        TrainConfig(**{name: value})
    with pytest.raises(CarvanaError, match=name):
        TrainConfig.from_json(as_json(**{name: value}))
    with pytest.raises(CarvanaError, match=name):
        preset("small", **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 2.0}, "epochs=2.0 must be int, not float"),
        ({"depth": 9}, "depth=9 must be from 1 to 8"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"size": (240, 7)}, "size=(240, 7) must be at least 8"),
        ({"learning_rate": 10}, "learning_rate=10.0 must be above 0 and below 10"),
        ({"norm": "group"}, "norm='group' must be one of batch, None"),
    ],
)
def test_a_refusal_says_the_value_and_what_is_allowed(change, message):
    with pytest.raises(CarvanaError) as caught:
        TrainConfig(**change)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["weight_decay", "rotate", "checkpoint_minutes"])
def test_not_a_number_is_refused_by_name(name):
    with pytest.raises(CarvanaError, match=name):
        TrainConfig(**{name: float("nan")})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("flip", (0, 1)),
        ("ema_decay", (0, 1)),
        ("epochs", (1, 1_000_000)),
        ("size", ((8, 8), (20_000, 2500))),
        ("base_channels", (1, 1024)),
        ("depth", (1, 8)),
        ("patch", (1, 16)),
        ("rotate", (0, 180)),
        ("scale", (0, 0.9)),
        ("seed", (0, 2**31 - 1)),
        ("learning_rate", (1e-6, 9.9)),
        ("loss", tuple(LOSSES)),
        ("norm", ("batch", None)),
        ("up", ("transpose", "bilinear")),
        ("optimizer", ("adam", "adamw")),
        ("schedule", ("one-cycle", "constant")),
        ("precision", ("auto", "float32", "bf16", "fp16")),
        ("train_cars", (0, 1)),
    ],
)
def test_values_at_the_ends_of_a_range_are_taken(name, values):
    for value in values:
        assert getattr(TrainConfig(**{name: value}), name) == value


def test_recorded_steps_keep_their_activations():
    assert TrainConfig(cuda_graphs=True).cuda_graphs
    with pytest.raises(CarvanaError, match="cuda_graphs=True needs recompute=False"):
        TrainConfig(cuda_graphs=True, recompute=True)


def test_a_batch_must_divide_into_its_parts():
    assert TrainConfig(batch_size=12, accumulate=3).accumulate == 3
    with pytest.raises(CarvanaError, match="batch_size=16 must divide by accumulate=3"):
        TrainConfig(batch_size=16, accumulate=3)


@pytest.mark.parametrize("text", ["", "epochs = 3", '{"epochs": 3', "{'epochs': 3}"])
def test_text_that_is_not_json_is_refused_with_its_source(text):
    with pytest.raises(CarvanaError, match=r"run/config\.json is not JSON"):
        TrainConfig.from_json(text, source="run/config.json")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"epochs"'])
def test_json_without_settings_is_refused(text):
    with pytest.raises(CarvanaError, match="config does not hold settings"):
        TrainConfig.from_json(text)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().epochs = 3


def test_a_preset_with_changes_keeps_the_rest_and_is_checked():
    assert preset("small", epochs=2) == replace(PRESETS["small"], epochs=2)
    assert preset("small") == PRESETS["small"]
    with pytest.raises(CarvanaError, match="epochs"):
        preset("small", epochs=0)


def test_build_model_follows_the_settings():
    net = TrainConfig(base_channels=2, depth=3, norm=None, up="bilinear").build_model()
    assert net.stem[0].out_channels == 2
    assert len(net.down) == 3
    names = {type(module).__name__ for module in net.modules()}
    assert "Upsample" in names
    assert not names & {"BatchNorm2d", "ConvTranspose2d"}
    assert net(torch.zeros(1, 3, 16, 16)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"base_channels": 10**9},
        {"depth": 60},
        {"patch": 100},
        {"seed": 2**31},
        {"seed": -1},
        {"rotate": float("inf")},
        {"learning_rate": 10**400},
        {"weight_decay": float("inf")},
    ],
)
def test_values_no_net_has_are_refused(change):
    with pytest.raises(CarvanaError, match=rf"{next(iter(change))}=.* must"):
        preset("quick", **change)
