"""Processes that go on together, or stop together."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

Result = TypeVar("Result")


def together(group: Any, work: Callable[[], Result]) -> Result:
    """Return what `work` returns here, if it did so on every process.

    Raises:
        Exception: what it raised here, or a RuntimeError that says what it raised elsewhere.
    """
    result: Any = None
    error: Exception | None = None
    try:
        result = work()
    except Exception as caught:
        error = caught
    said = None if error is None else f"{type(error).__name__}: {error}"
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, said, group)
    if error is not None:
        raise error
    for rank, one in enumerate(found):
        if one is not None:
            raise RuntimeError(f"process {rank} of the group refused: {one}")
    return result


def check_same(group: Any, here: dict[str, Any]) -> None:
    """Refuse what differs among processes, on all of them alike.

    Raises:
        RuntimeError: if they differ; the message says in what, and where.
    """
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, {name: str(value) for name, value in here.items()}, group)
    for name in here:
        values = [one[name] for one in found]
        rank = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if rank is not None:
            raise RuntimeError(
                f"processes must share one layer, and its {name} is {values[0]} on process 0 and "
                f"{values[rank]} on process {rank}: give generators the same seed everywhere, and "
                "read the same files."
            )
