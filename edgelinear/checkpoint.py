"""The wiring in a state dict: checked like any other, compared, and never taken unasked."""

from collections.abc import Mapping

from torch import Tensor

from edgelinear.topology import Topology

WIRING = ("edge_index", "shape")  # what a state dict holds beside the parameters of a layer


def saved_topology(state: Mapping[str, Tensor], prefix: str = "") -> Topology:
    """Return the wiring that a state dict holds: row 0 of its edges the source, row 1 the target.

    Raises:
        ValueError: if the wiring is missing, or its indices do not fit its shape.
    """
    for key in WIRING:
        if prefix + key not in state:
            raise ValueError(
                f"the state dict holds no `{prefix}{key}`, which says how the layer is wired: "
                "was it saved from an EdgeLinear?"
            )
    edge_index, shape = (state[prefix + key] for key in WIRING)
    if shape.shape != (2,):
        raise ValueError(f"`{prefix}shape` must hold 2 numbers, got shape {tuple(shape.shape)}.")
    in_features, out_features = shape.tolist()
    try:
        return Topology(in_features, out_features, edge_index, duplicates="keep")
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{prefix}edge_index` in this checkpoint is corrupt: {error}") from error


def difference(here: Topology, state: Mapping[str, Tensor], prefix: str = "") -> str | None:
    """Return None if the saved wiring is this one, or a sentence that says how it differs."""
    try:
        there = saved_topology(state, prefix)
    except ValueError as error:
        return str(error)
    here = here.to("cpu")
    if here == there:
        return None
    return (
        f"`{prefix}edge_index` in this checkpoint is another wiring ({_comparison(here, there)}). "
        "Use el.adopt_wiring to take it."
    )


def _comparison(here: Topology, there: Topology) -> str:
    if (here.in_features, here.out_features) != (there.in_features, there.out_features):
        return (
            f"{here.in_features} -> {here.out_features} features here, "
            f"{there.in_features} -> {there.out_features} there"
        )
    if here.num_edges != there.num_edges:
        return f"{here.num_edges} edges here, {there.num_edges} there"
    if here.sorted()[0] == there.sorted()[0]:
        return "the same edges in another order"
    edge = int((here.edge_index != there.edge_index).any(0).nonzero()[0])
    (src, dst), (other_src, other_dst) = here.edge_index[:, edge], there.edge_index[:, edge]
    return f"edge {edge} is {src} -> {dst} here, {other_src} -> {other_dst} there"
