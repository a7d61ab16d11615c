"""The device that a run computes on, and the precision of its products."""

import torch
from accelerate import Accelerator

from s2id.errors import InputError
from s2id.files import shapes_of
from s2id.memory import check_memory
from s2id.network.build import build
from s2id.network.settings import NetworkConfig
from s2id.sampling.model import device_named
from s2id.training.settings import TrainConfig


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a processor has instructions for bf16 products; where it emulates them, they are slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def accelerator_for(config: TrainConfig) -> Accelerator:
    """Device, precision and processes of a run.

    Raises:
        InputError: The device is not available.
    """
    if config.device == "mps":
        device_named("mps")  # says why not
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA GPU on this machine; train with device cpu.")
    cpu = config.device == "cpu" or not torch.cuda.is_available()
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if multiplies_bf16(torch.device("cpu" if cpu else "cuda")) else "no"
    return Accelerator(cpu=cpu, mixed_precision=precision)


def check_network(config: NetworkConfig, device: torch.device) -> None:
    """Refuse a network that this machine cannot train, before any memory is taken.

    Raises:
        InputError: The weights, their gradients, their moving average and the optimiser's moments need more memory
            than the device has.
    """
    parameters = sum(parameter.numel() for parameter in shapes_of(lambda: build(config)).parameters())
    needed = 5 * 4 * parameters  # five float32 per weight
    advice = "choose a smaller width or fewer blocks"
    check_memory(f"training a network of {parameters:,} weights takes", needed, advice, device)
