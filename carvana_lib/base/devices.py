"""Which device and precision to use."""

from __future__ import annotations

import typing

import torch

if typing.TYPE_CHECKING:
    from accelerate import Accelerator

    from ..config import TrainConfig


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is how Python, a CPU or a GPU says that memory is full."""
    text = str(error)
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "out of memory" in text
        or "annot allocate memory" in text
        or "DefaultCPUAllocator" in text
        or "ALLOC_FAILED" in text
    )


def pick_precision(precision: str, device: torch.device) -> str:
    """What a config's precision means on `device`, in accelerate's words: "no", "bf16" or "fp16"."""
    if precision != "auto":
        return "no" if precision == "float32" else precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Without these instructions bf16 works on a CPU too, but slower than float32.
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_bf16() else "no"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a net computes in a config's `precision` on `device`."""
    kind = pick_precision(precision, device)
    dtype = torch.float16 if kind == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=kind != "no")


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The `accelerate.Accelerator` for this machine and `config`."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import GradientAccumulationPlugin

    # Unless told that there is only the CPU, accelerate overlooks the other processes of torchrun.
    cpu = best_device().type == "cpu"
    precision = pick_precision(config.precision, PartialState(cpu=cpu).device)
    # accelerate remembers the precision of the last run; a notebook may train again in another one.
    AcceleratorState._reset_state()
    # Given as a number, it would yield to an environment variable.
    accumulation = GradientAccumulationPlugin(num_steps=config.accumulate)
    return Accelerator(cpu=cpu, mixed_precision=precision, gradient_accumulation_plugin=accumulation)
