"""`LayerReport`: what is known of a layer, as a row of a table."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from edgelinear.comparison.units import ms, size
from edgelinear.conversion.found import Found
from edgelinear.layers.module import EdgeModule

HEADERS = (
    ("", "module"),
    ("", "in -> out"),
    ("", "density"),
    ("ms", "before"),
    ("", "after"),
    ("memory", "before"),
    ("", "after"),
    ("", "what was done"),
)
LEFT = (0, len(HEADERS) - 1)  # columns of words


@dataclass(frozen=True)
class LayerReport:
    """What was measured of one layer, and done with it.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> report = el.sparsify(model, torch.randn(4, 8), mode="inference", progress=False)
        >>> report.layers[0].name, report.layers[0].action, report.layers[0].reason
        ('0', 'left', 'less than 80% zeros')
    """

    name: str  #: all of them, where it is used by several
    in_features: int
    out_features: int
    density: float | None  #: None where the weight was not looked at
    calls: int | None  #: in one forward of the model; None: on edges already
    ms_before: float | None  #: of all of these, the least of all rounds; None: not measured
    ms_after: float | None
    bytes_before: int  #: parameters and masks
    bytes_after: int  #: parameters and wiring
    action: str  #: "converted" or "left"
    reason: str


def layer_report(entry: Found, bytes_before: int) -> LayerReport:
    """Return what is known of a layer, after everything was done."""
    linear, twin, times = entry.linear, entry.twin, entry.ms or (None, None)
    reason = entry.reason
    if twin is not None:
        reason = "as asked" if entry.ms is None else _factor(*entry.ms)
        reason += "" if twin.num_edges else ", with no weight left"
    elif entry.is_masked:
        reason += ", with a mask of torch's `prune`"
    return LayerReport(
        name=entry.name,
        in_features=linear.in_features,
        out_features=linear.out_features,
        density=entry.density,
        calls=sum(entry.calls.values()),
        ms_before=times[0],
        ms_after=times[1],
        bytes_before=bytes_before,
        bytes_after=bytes_of(linear if twin is None else twin),
        action="left" if twin is None else "converted",
        reason=reason,
    )


def edge_reports(model: nn.Module) -> dict[str, LayerReport]:
    """Return, by its path, what is known of each module that is on edges already."""
    found = {p: m for p, m in model.named_modules() if isinstance(m, EdgeModule)}
    return {path: _edge_report(path, module) for path, module in found.items()}


def _edge_report(path: str, module: EdgeModule) -> LayerReport:
    size = bytes_of(module)
    return LayerReport(
        name=path or "model",
        in_features=module.topology.in_features,  # of a network: the number of nodes
        out_features=module.topology.out_features,
        density=module.density,
        calls=None,
        ms_before=None,
        ms_after=None,
        bytes_before=size,
        bytes_after=size,
        action="left",
        reason=f"{type(module).__name__} is on edges already",
    )


def bytes_of(module: nn.Module) -> int:
    """Return the memory of parameters, buffers and wirings, each once."""
    held: list[Tensor] = [*module.parameters(), *module.buffers()]
    for layer in module.modules():
        if isinstance(layer, EdgeModule):
            held += [tensor for tensor in layer.topology._tensors if tensor is not None]
    each = {(t.untyped_storage().data_ptr(), t.numel()): t.nbytes for t in held if not t.is_meta}
    return sum(each.values())


def _factor(before: float, after: float) -> str:
    if after <= before:
        return f"{before / after:.1f} times faster"
    return f"{after / before:.1f} times slower, as asked"


def ms_or_dash(value: float | None) -> str:
    """Return milliseconds, or a dash where they were not measured."""
    return "-" if value is None or math.isnan(value) else ms(value)


def cells_of(layer: LayerReport) -> tuple[str, ...]:
    """Return a layer as a row of a table."""
    return (
        layer.name,
        f"{layer.in_features} -> {layer.out_features}",
        "-" if layer.density is None else f"{layer.density:.2%}",
        ms_or_dash(layer.ms_before),
        ms_or_dash(layer.ms_after),
        size(layer.bytes_before),
        size(layer.bytes_after),
        f"{layer.action}: {layer.reason}",
    )
