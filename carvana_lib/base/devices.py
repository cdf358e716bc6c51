"""Which device and precision to use."""

from __future__ import annotations

import ctypes
import functools
import re
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager

import torch

if typing.TYPE_CHECKING:
    from accelerate import Accelerator


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU, which also stands in for a GPU that is too old for the installed torch."""
    if torch.cuda.is_available() and torch_serves_gpu():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@functools.cache  # the sentence is said once
def torch_serves_gpu() -> bool:
    """Whether the installed torch was built for this machine's GPU; if not, says so on stderr."""
    major, minor = card = torch.cuda.get_device_capability()
    built_for = [re.fullmatch(r"(sm|compute)_(\d+)(\d)", name) for name in torch.cuda.get_arch_list()]
    # Machine code runs on cards of its generation, from its own number up; "compute" is compiled for any newer card.
    for kind, *number in [match.groups() for match in built_for if match]:
        lowest = (int(number[0]), int(number[1]))
        if lowest <= card and (kind == "compute" or lowest[0] == major):
            return True
    if not any(built_for):  # AMD's cards are named otherwise
        return True
    print(
        f"{torch.cuda.get_device_name()} (compute capability {major}.{minor}) cannot be used by the installed PyTorch "
        f"{torch.__version__}: the CPU is used instead. Choose another GPU, on Kaggle the T4",
        file=sys.stderr,
    )
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is how Python, a CPU or a GPU says that memory is full."""
    full = ("out of memory", "annot allocate memory", "DefaultCPUAllocator", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in full)


def pick_precision(precision: str, device: torch.device) -> str:
    """What a config's precision means on `device`, in accelerate's words: "no", "bf16" or "fp16"."""
    if precision != "auto":
        return "no" if precision == "float32" else precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Without these instructions bf16 works on a CPU too, but slower than float32.
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_bf16() else "no"


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """The context in which a net computes in a config's `precision` on `device`."""
    kind = pick_precision(precision, device)
    dtype = torch.float16 if kind == "fp16" else torch.bfloat16
    rounded = torch.backends.cudnn.allow_tf32
    try:
        # Without this, NVIDIA's convolutions round float32 to 10 bits of mantissa (TF32).
        torch.backends.cudnn.allow_tf32 = rounded and precision != "float32"
        with torch.autocast(device.type, dtype, enabled=kind != "no"):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = rounded


def make_accelerator(precision: str = "auto", accumulate: int = 1) -> Accelerator:
    """The `accelerate.Accelerator` for this machine.

    Args:
        precision: as in TrainConfig.
        accumulate: parts of a batch whose gradients are added up before the optimizer moves.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import GradientAccumulationPlugin

    # Unless told that there is only the CPU, accelerate overlooks the other processes of torchrun.
    cpu = best_device().type == "cpu"
    mixed = pick_precision(precision, PartialState(cpu=cpu).device)
    # accelerate remembers the precision of the last run; a notebook may train again in another one.
    AcceleratorState._reset_state()
    # Given as a number, it would yield to an environment variable.
    plugin = GradientAccumulationPlugin(num_steps=accumulate)
    return Accelerator(cpu=cpu, mixed_precision=mixed, gradient_accumulation_plugin=plugin)


def hand_back_memory() -> None:
    """Return freed memory to Linux: of masks made in one thread and freed in another, glibc keeps gigabytes."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
