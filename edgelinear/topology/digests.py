"""The digest of a wiring whose edges many processes hold."""

import hashlib
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

_WINDOW = 2**20  # edges that a process sends at once


def device_of(group: Any) -> torch.device:
    """Return a device whose tensors the group moves."""
    if "cpu:" in dist.get_backend_config(group):
        return torch.device("cpu")
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def all_gather(into: Tensor, rows: Tensor, group: Any) -> None:
    """Fill a tensor with the rows of all processes, by rank."""
    # `all_gather_into_tensor` is deprecated since torch 2.13, which has the other.
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(into, rows, group=group)


def digest(share: Any, group: Any) -> str:
    """Return `Topology.digest` of all edges in (target, source) order, on all processes alike.

    The shares of a row of the grid hold successive edges: those between two pivots, of all shares
    of it, come next in the order, and are brought into it by the first process.
    """
    _check_parts(share, group)
    rank, device, (rows, columns) = share.part, device_of(group), share.grid
    edges = share.edge_index.cpu().numpy()
    pivots = _pivots(edges, share, group, device)
    state = hashlib.sha256(f"edgelinear {share.in_features} {share.out_features}".encode())
    for end in range(2):
        # One share to a row needs no order, and then this end of its edges is enough.
        ends = [end] if columns == 1 else [0, 1]
        for row in range(rows):
            members = range(row * columns, (row + 1) * columns)
            cuts = _cuts(edges, pivots[row]) if rank in members else None
            for window in range(len(pivots[row]) + 1):
                mine = None
                if cuts is not None:
                    mine = edges[ends, cuts[window] : cuts[window + 1]]
                parts = _to_first(mine, len(ends), members, rank, group, device)
                if rank == 0:
                    found = np.concatenate(parts, axis=1)
                    if columns > 1:
                        found = found[end][np.lexsort(found)][None]
                    state.update(found[0].astype("<i8").tobytes())
    result = torch.frombuffer(bytearray(state.digest()), dtype=torch.uint8).to(device)
    dist.broadcast(result, group=group, group_src=0)
    return bytes(result.cpu().numpy()).hex()


def _check_parts(share: Any, group: Any) -> None:
    size = dist.get_world_size(group)
    mine = (share.in_features, share.out_features, share.num_edges, share.grid, share.fingerprint)
    found: list = [None] * size
    dist.all_gather_object(found, (share.part, *mine), group)
    if [one[0] for one in found] != list(range(share.parts)) or len({one[1:] for one in found}) > 1:
        shown = ", ".join(f"{one[0]} of {one[3]} edges" for one in found[:8])
        raise ValueError(
            f"each process must bring its own share of one wiring, part p on process p, got parts "
            f"{shown}: use `el.parallel.load_shares`."
        )


def _pivots(edges: np.ndarray, share: Any, group: Any, device: torch.device) -> list:
    """Return for each row of the grid edges, in order, that part it into windows."""
    chosen = torch.from_numpy(np.ascontiguousarray(edges[:, _WINDOW::_WINDOW])).to(device)
    counts = torch.zeros(share.parts, dtype=torch.int64, device=device)
    counts[share.part] = chosen.shape[1]
    dist.all_reduce(counts, group=group)
    most = max(1, int(counts.max()))
    padded = chosen.new_zeros(2, most)
    padded[:, : chosen.shape[1]] = chosen
    found = padded.new_empty(share.parts, 2, most)
    all_gather(found.view(-1), padded.view(-1), group)
    rows, columns = share.grid
    pivots = []
    for row in range(rows):
        members = range(row * columns, (row + 1) * columns)
        ends = np.concatenate([found[p, :, : counts[p]].cpu().numpy() for p in members], axis=1)
        pivots.append(ends[:, np.lexsort(ends)].T)
    return pivots


def _cuts(edges: np.ndarray, pivots: np.ndarray) -> list[int]:
    """Return how many edges come before each pivot; with 0 and all of them, where to cut."""
    src, dst = edges
    cuts = [0]
    for source, target in pivots:
        low, high = np.searchsorted(dst, target), np.searchsorted(dst, target, side="right")
        cuts.append(int(low + np.searchsorted(src[low:high], source)))
    return [*cuts, src.size]


def _to_first(
    mine: Any, height: int, members: range, rank: int, group: Any, device: torch.device
) -> list:
    """Return what each member of a row has, on the first process."""
    parts = []
    for member in members:
        if member == rank and rank != 0:
            dist.send(torch.tensor([mine.shape[1]], device=device), group=group, group_dst=0)
            dist.send(torch.from_numpy(mine.copy()).to(device), group=group, group_dst=0)
        elif rank == 0 and member != 0:
            number = torch.zeros(1, dtype=torch.int64, device=device)
            dist.recv(number, group=group, group_src=member)
            came = torch.empty(height, int(number), dtype=torch.int64, device=device)
            dist.recv(came, group=group, group_src=member)
            parts.append(came.cpu().numpy())
        elif rank == 0:
            parts.append(mine)
    return parts
