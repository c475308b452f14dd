"""Processes that go on together, or stop together."""

import atexit
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

Result = TypeVar("Result")


def check_group() -> None:
    """Refuse to begin where no processes know of each other."""
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "there is no process group: start the program by `torchrun`, and call "
            "`torch.distributed.init_device_mesh` or `init_process_group` first."
        )


@cache
def let_go_at_exit() -> None:
    """Give gloo's threads the interpreter once more before it ends, which they could abort.

    They let go of a collective's tensors after it has returned, and need the interpreter for that.
    A thread that asks for it while Python ends has the process aborted, after all work was done.
    Torch joins them only with the group, which DTensor keeps.
    """
    atexit.register(time.sleep, 0.1)


def groups_of(mesh: DeviceMesh) -> list[Any]:
    """Return the groups by which this process knows of all of the mesh, axis by axis."""
    return [mesh.get_group(axis) for axis in range(mesh.ndim)]


def group_of(mesh: DeviceMesh, data: int | None = None) -> Any:
    """Return the group of all processes of a mesh that have this place on the axis `data`, if any.

    All of them call it together. Their ranks in the group are their places, row by row.

    Raises:
        ValueError: if their ranks do not ascend.
    """
    if mesh.ndim == (1 if data is None else 2):
        return mesh.get_group(0 if data is None else 1 - data)
    ranks = mesh.mesh if data is None else mesh.mesh.select(data, mesh.get_local_rank(data))
    return _group_of(tuple(ranks.flatten().tolist()), dist.group.WORLD)


def check_ascends(mesh: DeviceMesh) -> None:
    """Refuse a mesh whose ranks do not ascend: groups of torch have theirs in order."""
    ranks = mesh.mesh.flatten().tolist()
    if ranks != sorted(ranks):
        raise ValueError(
            f"the ranks of the mesh must ascend, got {ranks}: `init_device_mesh` does."
        )


@cache
def _group_of(ranks: tuple[int, ...], world: Any) -> Any:
    """Return the group of these ranks of this world, of which more than one would wait in turn."""
    if len(ranks) == dist.get_world_size():
        return world
    return dist.new_group(list(ranks), use_local_synchronization=True)


def told(groups: list[Any], what: Any) -> list[tuple[int, Any]]:
    """Return what each process of a mesh has, with its rank, in their order."""
    found = [(dist.get_rank(), what)]
    for group in groups:  # what came along one axis goes along the next
        lists: list = [None] * dist.get_world_size(group)
        dist.all_gather_object(lists, found, group)
        found = [one for listed in lists for one in listed]
    return sorted(found, key=lambda one: one[0])


def together(groups: list[Any], work: Callable[[], Result]) -> Result:
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
    said = told(groups, None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for rank, one in said:
        if one is not None:
            raise RuntimeError(f"process {rank} refused: {one}")
    return result


def check_same(groups: list[Any], here: dict[str, Any]) -> None:
    """Refuse what differs among processes, on all of them alike.

    Raises:
        RuntimeError: if they differ; the message says in what, and where.
    """
    found = told(groups, {name: str(value) for name, value in here.items()})
    first, ours = found[0]
    for name in here:
        for rank, theirs in found:
            if theirs[name] != ours[name]:
                cure = "pass the same everywhere"
                if name in ("wiring", "list of edges"):
                    cure = "give generators the same seed everywhere, and read the same files"
                raise RuntimeError(
                    f"processes must share one layer, and its {name} is {ours[name]} on process "
                    f"{first} and {theirs[name]} on process {rank}: {cure}."
                )
