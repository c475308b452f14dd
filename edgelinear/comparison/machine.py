"""Where something was measured."""

import platform
from typing import Any

import torch


def machine_of(device: torch.device) -> dict[str, Any]:
    """Return the versions and the device that times depend on."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": f"{device.type} ({name})",
    }


def place(machine: dict[str, Any]) -> str:
    """Return the same in one line."""
    number = machine["threads"]
    threads = "1 thread" if number == 1 else f"{number} threads"
    return f"torch {machine['torch']}, {threads}, {machine['device']}"
