"""A whole network, or layers that follow one another: columns, or, with cycles, a matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.plot import _adjacency, _columns
from edgelinear.plot._figure import check_top
from edgelinear.plot._folding import fold
from edgelinear.plot._layers import layers_in
from edgelinear.plot._stack import stack_of
from edgelinear.topology.checks import check_switch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 32  # more of them make no picture
_BOXES = 200  # of a column: a page of 50 inches
_TOP = 30


def network(
    model: EdgeNetwork | EdgeRNN | nn.Module | Sequence[EdgeLinear],
    *,
    scores: Any = None,  # (num_edges,)
    top: int | None = None,
    names: bool = True,
) -> "Figure":
    """Return a picture of a network, or of layers that follow one another, by its strongest edges.

    Levels, or layers, are columns. The `top` edges of the largest `|weight|` are lines, as wide and
    as coloured as they are strong; of several columns, as many edges lead into each as there are.
    The scale is one for a network; that of layers, which are not shown whole, is the largest
    `|weight|` of each, which stands in its heading. Parallel edges lie on each other.

    A node that a line touches has a box with its name, or its number, and a bar as long as the sum
    of `|weight|` of all edges into it; out of it, in the first column. The other nodes of a column
    are one box that counts them. All other edges to the next column are grey bands, added up, in
    the width of a line of their sum, up to twice that of the strongest; others that skip columns
    are left out, and a note counts them.

    A network of at most `top` edges, and 40 nodes a column, is shown whole. `levels` shows the
    widths of a network of any depth.

    An EdgeRNN is shown as the matrix of its weights, targets down and sources across, ordered by
    the steps that an input takes to reach a node, and outputs last among those. Parallel edges add
    up; above 400 nodes, a cell counts the edges of a block.

    Args:
        model: an EdgeNetwork, an EdgeRNN, a list of layers, or a module, as `nn.Sequential`, that
            holds one network, or EdgeLinears that follow one another in the order in which they
            are registered. A layer registered twice is there once, unless one `nn.Sequential` or
            `nn.ModuleList` holds it twice.
        scores: a number for each edge in the place of its weight, as what it was worth; of several
            layers, a list with those of each.
        top: how many edges are drawn, from 1 to 600, by default 30.
        names: whether nodes have their names written.

    Raises:
        TypeError: if `model` is something else.
        ValueError: if layers do not follow one another, by their sizes or the names on both sides;
            something else that has a matrix of weights stands between them; numbers are not one
            finite one an edge; or there are more than 32 columns, or 200 boxes in one.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> model = nn.Sequential(
        ...     EdgeLinear(4, 3, [(0, 0), (1, 1), (2, 2), (3, 2)]), nn.ReLU(),
        ...     EdgeLinear(3, 1, [(0, 0), (1, 0), (2, 0)], out_names=["risk"]))
        >>> figure = plot.network(model)
        >>> [text.get_text() for text in figure.axes[0].texts][:3]
        ['inputs', 'layer 0', 'layer 2']
    """
    top_edges = check_top(_TOP if top is None else top)
    named = check_switch("names", names)
    layers = layers_in(model)
    net = layers[0].layer
    if isinstance(net, EdgeRNN):
        if scores is not None or top is not None:
            raise ValueError(
                "an EdgeRNN is drawn as the matrix of its weights, which takes neither `scores` "
                "nor `top`: leave them out."
            )
        return _adjacency.adjacency(net, named)
    stack = stack_of(layers, scores)
    if len(stack.headings) > _COLUMNS:
        raise ValueError(
            f"at most {_COLUMNS} columns can be drawn beside each other, got "
            f"{len(stack.headings)}: use `plot.levels` of a network, or pass fewer layers."
        )
    folded = fold(stack, top_edges)
    boxes = int(np.bincount(folded.column, minlength=1).max())
    if boxes > _BOXES:
        raise ValueError(
            f"at most {_BOXES} boxes can be drawn below each other, got {boxes}: pass a smaller "
            f"`top` than {top_edges}."
        )
    return _columns.draw(stack, folded, named, "weight" if scores is None else "score")
