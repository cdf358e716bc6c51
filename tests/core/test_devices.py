"""Which device is used: a GPU that the installed torch was not built for is never tried."""

import pytest
import torch
from helpers import tiny

from carvana_lib.base.devices import autocast, best_device, make_accelerator, torch_serves_gpu
from carvana_lib.training import Trainer

KAGGLE = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # what torch 2.10 for CUDA 12.8 serves


@pytest.fixture
def machine(monkeypatch):
    """Makes torch say that there is a GPU of this capability, and that it was built for these."""

    def has(card: tuple[int, int], built_for: list[str]) -> None:
        torch_serves_gpu.cache_clear()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: card)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla P100-PCIE-16GB")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)

    yield has
    torch_serves_gpu.cache_clear()


@pytest.mark.parametrize(
    ("card", "built_for", "device"),
    [
        ((6, 0), KAGGLE, "cpu"),  # P100
        ((7, 5), KAGGLE, "cuda"),  # T4
        ((8, 9), KAGGLE, "cuda"),  # L4: by the code for 8.6
        ((9, 0), KAGGLE, "cuda"),  # H100
        ((10, 3), KAGGLE, "cuda"),
        ((8, 0), ["sm_75", "sm_86"], "cpu"),
        ((13, 0), KAGGLE, "cpu"),
        ((13, 0), [*KAGGLE, "compute_120"], "cuda"),
        ((6, 0), [*KAGGLE, "compute_120"], "cpu"),
        ((9, 0), ["gfx90a", "gfx942"], "cuda"),  # AMD
    ],
)
def test_a_gpu_is_used_if_torch_was_built_for_it(machine, card, built_for, device):
    machine(card, built_for)
    assert best_device().type == device


def test_a_gpu_that_cannot_be_used_gets_one_sentence_and_the_cpu_trains(machine, monkeypatch, capsys):
    machine((6, 0), KAGGLE)
    assert best_device() == best_device() == torch.device("cpu")
    sentence = "Tesla P100-PCIE-16GB (compute capability 6.0) cannot be used by the installed PyTorch"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(sentence)
    assert "the CPU is used instead" in lines[0]
    accelerator = make_accelerator()
    assert accelerator.device.type == "cpu"
    monkeypatch.undo()  # PyTorch would look for the card itself
    trainer = Trainer(tiny(), 4, accelerator)
    images, masks = torch.zeros(4, 3, 32, 48), torch.zeros(4, 1, 32, 48)
    assert torch.isfinite(torch.as_tensor(trainer.step(images, masks)))


@pytest.mark.parametrize(("precision", "rounded"), [("float32", False), ("bf16", True), ("auto", True)])
def test_float32_is_not_rounded_to_tf32_and_the_setting_is_put_back(monkeypatch, precision, rounded):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with autocast(precision, torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == rounded
    assert torch.backends.cudnn.allow_tf32
