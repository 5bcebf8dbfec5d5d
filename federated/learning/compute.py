"""Which device and which precision: looked up, not assumed."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from federated.errors import UserError


@dataclass(frozen=True)
class Compute:
    """Where and how to compute."""

    device: torch.device
    bf16: bool


def device_for(gpus: float) -> torch.device:
    """Return the GPU if a client was given a share of one, else the CPU.

    A GPU is set to compute the same bits every time.

    Raises:
        UserError: a GPU share is configured and torch sees no GPU.
    """
    if gpus <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(f"engine.gpus = {gpus:g}, but torch sees no GPU here; set engine.gpus = 0.")
    repeat_bits_on_gpu()
    return torch.device("cuda")


def repeat_bits_on_gpu() -> None:
    """Choose deterministic GPU kernels, and the same ones every time."""
    # cuBLAS reads it when it starts; without it, streams side by side may change its sums.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    # A warning, not an error: torch also marks the backward pass of every max-pool, which repeats
    # its bits where windows do not overlap, and a network of the user's may have worse.
    torch.use_deterministic_algorithms(True, warn_only=True)


def native_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bfloat16 in hardware (AVX512-BF16, AMX, or a GPU)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bfloat16 under ``train.precision``."""
    return precision == "bf16" or (precision == "auto" and native_bf16(device))


def autocast(device: torch.device, *, bf16: bool) -> AbstractContextManager[None]:
    """Return torch's autocast to bfloat16; weights, losses and statistics stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
