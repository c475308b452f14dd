"""The shared library of the compiled kernels: how it is found, tested and called.

It knows neither torch nor Python, so that one build serves every version of both, and its threads
are torch's own.
"""

import ctypes
import math
import os
import struct
import sys
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.topology import Topology
from edgelinear.topology.schedules import GROUP_ROWS
from edgelinear.topology.views import View

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
SUMS, DOTS, BOTH, SPREAD = 0, 1, 2, 3
ACTIVATE, DERIVE, SCALE, INTEGRATE, DERIVE_SUM = 0, 1, 2, 3, 4
NOT_BUILT = (
    "the compiled kernels were not built with this install: install a wheel for this system, or "
    "install edgelinear again with gcc 12 or clang 14 on the path"
)
_has_warned = False
_BEYOND = 64  # numbers after a state, which a tile that ends beyond it reads and drops
HUGE = 1 << 22  # bytes from which on huge pages pay
_SMALL = HUGE // 8  # numbers that are never as many bytes
# Whether there are huge pages, of this size and of any: the first says so, or "inherit".
_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
_SETTINGS = (_PAGES / "hugepages-2048kB" / "enabled", _PAGES / "enabled")
# Below this address no memory is mapped as a rule. A tensor whose storage was freed begins there,
# at its offset: only then is the storage looked at, which would cost each call half a microsecond.
_LOW = 1 << 40

# The structs of kernels.h: the codes of `struct` for their fields, and their names.
_INTERFACE = 6
_CALL_FIELDS = (
    ("5P", "view.indptr", "view.indices", "view.edge_ids", "view.runs", "view.bands"),
    ("5q", "view.rows", "view.columns", "view.edges", "view.num_runs", "view.num_bands"),
    ("i4x", "view.index_bytes"),
    ("q", "batch"),
    ("4i", "product", "dtype", "edge_dtype", "width"),
    ("q", "threads"),
    ("P2q", "gathered.data", "gathered.feature_stride", "gathered.sample_stride"),
    ("P2q", "rowwise.data", "rowwise.feature_stride", "rowwise.sample_stride"),
    ("P2q", "sums.data", "sums.feature_stride", "sums.sample_stride"),
    ("3P", "weight", "dots", "bias"),
    ("3P", "scratch", "parallel_for", "finish"),
    ("q", "may_read_beyond"),
    ("P", "column_sums"),
)
_PASS_FIELDS = (
    *((codes, *(f"call.{name}" for name in names)) for codes, *names in _CALL_FIELDS),
    ("P3q", "finish.groups", "finish.row", "finish.sample", "finish.stride"),
    ("2P", "finish.state", "finish.pairs"),
    ("q", "finish.num_added"),
    ("5P", "finish.added", "finish.leak", "finish.previous", "finish.mixed", "finish.drive"),
    ("i4x", "finish.mode"),
    ("4P", *(f"aggregates.{name}" for name in ("nodes", "sources", "weight", "response"))),
    ("P2q", "aggregates.values", "aggregates.count", "aggregates.most"),
    ("3P", *(f"aggregates.{name}" for name in ("grad_weight", "grad_response", "scratch"))),
    ("P", "groups"),
    ("2q", "num_groups", "steps"),
    ("3q", "gathered_step", "sums_step", "state_step"),
    ("4q", "added_step", "previous_step", "mixed_step", "drive_step"),
    ("2i", "reverse", "starts_empty"),
)
_COPY_FIELDS = (
    ("P2q", "from.data", "from.feature_stride", "from.sample_stride"),
    ("P2q", "to.data", "to.feature_stride", "to.sample_stride"),
    ("P", "rows"),
    ("2q", "features", "batch"),
    ("3i4x", "from_dtype", "to_dtype", "row_bytes"),
    ("P", "parallel_for"),
    ("q", "threads"),
)
_CALL, _PASS, _COPY = (
    struct.Struct("".join(codes for codes, *_ in fields))
    for fields in (_CALL_FIELDS, _PASS_FIELDS, _COPY_FIELDS)
)
_SCRATCH = [name for _, *names in _CALL_FIELDS for name in names].index("scratch")


class Aggregates(NamedTuple):
    """The nodes of a pass that aggregate otherwise than by sums: see kernels.h."""

    nodes: Tensor  # (count + 1, 3) int64
    sources: Tensor  # (edges,) int64
    weight: Tensor  # (edges,)
    response: Tensor | None  # (count,)
    most: int
    values: Tensor | None = None  # (rows, batch): what is gathered, if None
    grad_weight: Tensor | None = None  # (edges,)
    grad_response: Tensor | None = None  # (count,)


class Kernels:
    """The loaded library, and the instruction set that it is to use."""

    def __init__(self, path: str | Path, instruction_set: str | None = None) -> None:
        library = ctypes.CDLL(str(path))
        for name, expected in (
            ("edgelinear_interface", _INTERFACE),
            ("edgelinear_call_bytes", _CALL.size),
            ("edgelinear_pass_bytes", _PASS.size),
            ("edgelinear_copy_bytes", _COPY.size),
            ("edgelinear_group_rows", GROUP_ROWS),
        ):
            constant = getattr(library, name, int)  # int() is 0, which none of them is
            if constant() != expected:
                raise RuntimeError("they are of another version: install edgelinear again")
        sets = library.edgelinear_instruction_sets()
        self.supported = [name for i, name in enumerate(INSTRUCTION_SETS) if sets >> i & 1]
        self.instruction_set = instruction_set or self.supported[-1]
        if self.instruction_set not in self.supported:
            raise RuntimeError(
                f"EDGELINEAR_INSTRUCTION_SET must be one of {self.supported} on this processor, "
                f"got {instruction_set!r}"
            )
        self._set = INSTRUCTION_SETS.index(self.instruction_set)
        self._run = library.edgelinear_run
        self._pass = library.edgelinear_pass
        self._copy = library.edgelinear_copy
        for function in (self._run, self._pass, self._copy):  # of an int and of bytes
            function.restype = c_int64  # no `argtypes`: ctypes would take longer, to the same end
        self._use_huge_pages = library.edgelinear_use_huge_pages
        self._use_huge_pages.argtypes = [c_void_p, c_int64, c_int32]
        self._use_huge_pages.restype = None
        self.width = 0  # samples in a tile, or 0 for what measured fastest
        self.parallel_for = _torch.thread_pool()
        if self.parallel_for is None:
            raise RuntimeError(
                "they need the parallel loop that torch exports since 2.10, "
                f"and this is torch {torch.__version__}"
            )

    def run(
        self,
        product: int,
        topology: Topology,
        gathered: Tensor,  # (batch, in_features)
        rowwise: Tensor | None = None,  # (batch, out_features)
        sums: Tensor | None = None,  # (batch, out_features)
        weight: Tensor | None = None,  # (num_edges,)
        dots: Tensor | None = None,  # (num_edges,)
        bias: Tensor | None = None,  # (out_features,)
        column_sums: Tensor | None = None,  # (in_features,)
    ) -> None:
        """Compute the `product` of kernels.h: `sums`, `dots` or both, from the others.

        And `column_sums`, those of `gathered` over the batch, if it is of no half type. SPREAD
        writes to `gathered`, and has a bias of (in_features,).
        """
        # Nothing is asked twice, nor in a function of its own: small layers wait for this.
        _, indptr, indices, edge_ids, runs, _, _, bands = topology._target_view
        edgewise: Any = dots if weight is None else weight
        batch, columns = gathered.shape
        (edges,) = indices.shape
        if columns != topology.in_features or edgewise.shape != (edges,):
            raise ValueError(  # or memory beyond them would be read
                f"a matrix of {topology.in_features} features and {edges} edges are needed, got "
                f"shapes {tuple(gathered.shape)} and {tuple(edgewise.shape)}."
            )
        if rowwise is not None and rowwise.shape != (batch, topology.out_features):
            raise ValueError(  # likewise, as where a tensor was given other `data` since
                f"a matrix of shape {(batch, topology.out_features)} is needed, got "
                f"{tuple(rowwise.shape)}."
            )
        # Addresses: they are good for this call alone.
        x, (x_sample, x_feature) = gathered.data_ptr(), gathered.stride()
        edges_at = edgewise.data_ptr()
        if x < _LOW or edges_at < _LOW:
            _refuse_freed(gathered, edgewise)
        r = r_sample = r_feature = y = y_sample = y_feature = bias_at = 0
        if rowwise is not None:
            r, (r_sample, r_feature) = rowwise.data_ptr(), rowwise.stride()
            if r < _LOW:
                _refuse_freed(rowwise)
        if sums is not None:
            y, (y_sample, y_feature) = sums.data_ptr(), sums.stride()
        if bias is not None:
            bias_at = bias.data_ptr()
            if bias_at < _LOW:
                _refuse_freed(bias)
        call = _CALL.pack(
            indptr.data_ptr(),
            indices.data_ptr(),
            0 if edge_ids is None else edge_ids.data_ptr(),
            0 if runs is None else runs.data_ptr(),
            0 if bands is None else bands.data_ptr(),
            topology.out_features,
            columns,
            edges,
            0 if runs is None else runs.shape[0],
            0 if bands is None else bands.shape[0] - 1,
            indices.element_size(),
            batch,
            product,
            DTYPES[gathered.dtype],
            DTYPES[edgewise.dtype],
            self.width,
            torch.get_num_threads(),
            x,
            x_feature,
            x_sample,
            r,
            r_feature,
            r_sample,
            y,
            y_feature,
            y_sample,
            0 if weight is None else edges_at,
            0 if dots is None else dots.data_ptr(),
            bias_at,
            0,
            self.parallel_for,
            0,
            0,
            0 if column_sums is None else column_sums.data_ptr(),
        )
        lacks = self._run(self._set, call)
        if lacks:
            self._run_again(call, gathered, lacks)

    def sums(
        self,
        topology: Topology,
        x: Tensor,  # (batch, in_features)
        weight: Tensor,  # (num_edges,)
        bias: Tensor | None,  # (out_features,)
    ) -> Tensor:  # (batch, out_features)
        """Return the sums where all is contiguous, of one type and of the right shape: unchecked.

        What `run` asks beyond that takes a tenth of the time of a small layer.
        """
        _, indptr, indices, edge_ids, runs, *_ = topology._target_view
        (batch, columns), rows, dtype = x.shape, topology.out_features, DTYPES[x.dtype]
        y = x.new_empty(batch, rows) if batch * rows < _SMALL else self.empty(x, batch, rows)
        x_at, weight_at = x.data_ptr(), weight.data_ptr()
        bias_at = 0 if bias is None else bias.data_ptr()
        if x_at < _LOW or weight_at < _LOW or (bias_at < _LOW and bias is not None):
            _refuse_freed(x, weight, bias)
        call = _CALL.pack(
            indptr.data_ptr(),
            indices.data_ptr(),
            0 if edge_ids is None else edge_ids.data_ptr(),
            0 if runs is None else runs.data_ptr(),
            0,
            rows,
            columns,
            indices.shape[0],
            0 if runs is None else runs.shape[0],
            0,
            indices.element_size(),
            batch,
            SUMS,
            dtype,
            dtype,
            self.width,
            torch.get_num_threads(),
            x_at,
            1,
            columns,
            0,
            0,
            0,
            y.data_ptr(),
            1,
            rows,
            weight_at,
            0,
            bias_at,
            0,
            self.parallel_for,
            0,
            0,
            0,
        )
        lacks = self._run(self._set, call)
        if lacks:
            self._run_again(call, x, lacks)
        return y

    def _run_again(self, call: bytes, like: Tensor, lacks: int) -> None:
        """Run a call that lacks so many bytes of scratch: a tensor, so that torch counts it."""
        if lacks > 0:
            scratch = self.empty(like, lacks, dtype=torch.uint8)
            fields = [*_CALL.unpack(call)]
            fields[_SCRATCH] = scratch.data_ptr()
            lacks = self._run(self._set, _CALL.pack(*fields))
        _check_threads(lacks)

    def run_pass(
        self,
        groups: Tensor,  # (num_groups + 1, 5): see `Plan.table`
        view: View,  # of all rows; the weight is in the order of its positions
        weight: Tensor,  # (num_edges,)
        sums: Tensor,  # (rows, batch), as are the others; of the first step
        *,
        gathered: Tensor | None = None,  # `sums` itself, where levels are passed through
        bias: Tensor | None = None,  # (rows,)
        mode: int = ACTIVATE,
        reverse: bool = False,
        state: Tensor | None = None,
        pairs: Tensor | None = None,  # (num_added, 2)
        added: Tensor | None = None,  # (num_added, batch)
        leak: Tensor | None = None,  # (rows,)
        previous: Tensor | None = None,
        mixed: Tensor | None = None,
        drive: Tensor | None = None,
        steps: int = 1,
        moves: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0),
        starts_empty: bool = False,
        aggregates: Aggregates | None = None,
        parts: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Compute the `Pass` of kernels.h. Memory after what is gathered is read: see `state`.

        `parts` are groups from one to another, which are passed through one part after the other:
        what makes them may do something in between.
        """
        batch, dtype = sums.shape[-1], DTYPES[sums.dtype]
        gathered = sums if gathered is None else gathered

        def address(tensor: Tensor | None) -> int:
            at = 0 if tensor is None else tensor.data_ptr()
            if at < _LOW:
                _refuse_freed(tensor)
            return at

        before = (
            address(view.indptr),
            address(view.indices),
            0,
            address(view.runs),
            0,
            view.indptr.shape[0] - 1,
            view.indptr.shape[0] - 1,
            view.indices.shape[0],
            0 if view.runs is None else view.runs.shape[0],
            0,
            view.indices.element_size(),
            batch,
            SUMS,
            dtype,
            dtype,
            self.width,
            torch.get_num_threads(),
            *(address(gathered), batch, 1),
            *(0, 0, 0),
            *(address(sums), batch, 1),
            address(weight),
            0,
            address(bias),
        )
        others: tuple[int, ...] = (0,) * 10
        if aggregates is not None:
            nodes, sources, edgewise, response, most, values, *by = aggregates
            values = gathered if values is None else values
            others = (
                *map(address, (nodes, sources, edgewise, response, values)),
                *(len(nodes) - 1, most),
                *map(address, by),
                0,
            )
        middle = (
            *(self.parallel_for, 0, 1, 0),
            *(0, 0, 0, batch),
            address(state),
            address(pairs),
            0 if added is None else (added if pairs is None else pairs).shape[0],
            *map(address, (added, leak, previous, mixed, drive)),
            mode,
            *others,
        )
        after = (steps, *moves, reverse, starts_empty)
        table, row_bytes = address(groups), groups.stride(0) * groups.element_size()
        scratch_at = 0  # all parts need as much
        for first, last in parts or ((0, groups.shape[0] - 1),):
            rest = (*middle, table + first * row_bytes, last - first, *after)
            lacks = self._pass(self._set, _PASS.pack(*before, scratch_at, *rest))
            if lacks > 0:
                scratch = self.empty(sums, lacks, dtype=torch.uint8)
                scratch_at = scratch.data_ptr()
                lacks = self._pass(self._set, _PASS.pack(*before, scratch_at, *rest))
            _check_threads(lacks)

    def copy(self, source: Tensor, to: Tensor, rows: Tensor | None = None) -> None:
        """Copy (batch, features) to another; `rows` are the features to take.

        Float32 and half types are converted to each other. `to` may have more features, which
        stay as they are.
        """
        fields = (
            *_address_and_strides(source),
            *_address_and_strides(to),
            0 if rows is None else rows.data_ptr(),
            (source.shape[1] if rows is None else rows.shape[0]),
            to.shape[0],
            DTYPES[source.dtype],
            DTYPES[to.dtype],
            0 if rows is None else rows.element_size(),
            self.parallel_for,
            torch.get_num_threads(),
        )
        _check_threads(self._copy(self._set, _COPY.pack(*fields)))

    def state(self, like: Tensor, *shape: int) -> Tensor:
        """Return an empty tensor, after which there is memory that a pass may read."""
        flat = self.empty(like, math.prod(shape) + _BEYOND)
        return flat.resize_(shape)

    def empty(self, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return an empty tensor, in huge pages if it is large: its first touch costs much less."""
        # Sizes one by one, and no type where it is the same: torch reads these arguments sooner.
        tensor = like.new_empty(*shape) if dtype is None else like.new_empty(shape, dtype=dtype)
        if tensor.nbytes >= HUGE:
            self._use_huge_pages(tensor.data_ptr(), tensor.nbytes, False)
        return tensor

    def move_to_huge_pages(self, tensor: Tensor) -> None:
        """Move the memory of a large tensor to huge pages, at the addresses where it is.

        Linux would do so whatever its settings are, and read in a file that is mapped.
        """
        at, size = tensor.data_ptr(), tensor.nbytes
        if tensor.is_contiguous() and _gives_huge_pages() and _is_own_memory(at, at + size):
            self._use_huge_pages(at, size, True)

    def empty_like(self, matrix: Tensor, features: int) -> Tensor:
        """Return an empty (batch, features), laid out as `matrix` is."""
        batch = matrix.shape[0]
        if matrix.stride(1) == 1:
            return self.empty(matrix, batch, features)
        return self.empty(matrix, features, batch).t()


def load() -> Kernels | str:
    """Return the kernels, or why they cannot be used."""
    path = library_path()
    if path is None:
        return f"{NOT_BUILT} (`pip install -v .` shows the build)"
    try:
        kernels = Kernels(path, os.environ.get("EDGELINEAR_INSTRUCTION_SET"))
        # In a thread of its own, which is in no mode: the caller may be in one of autocast, of fake
        # tensors, of another default device, or inside a transform, where no kernel could run.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_self_test, kernels).result() or kernels
    except (OSError, AttributeError, RuntimeError) as error:
        return f"the compiled kernels cannot be loaded: {error}"


@_torch.is_constant
def library_path() -> str | None:
    """Return where the shared library is, or None where this install has none."""
    named = os.environ.get("EDGELINEAR_LIBRARY")
    # An editable install has the sources in one folder, and what was built in another.
    folders = sys.modules["edgelinear"].__path__
    paths = [named] if named else [os.path.join(folder, "libedgelinear.so") for folder in folders]
    return next((os.path.abspath(path) for path in paths if os.path.exists(path)), None)


@_torch.is_constant
def warn_if_not_built() -> None:
    """Warn, once, where layers on a CPU are slow as this install has no kernels."""
    if library_path() is None:
        warn_of(NOT_BUILT)


@_torch.is_constant
def warn_of(reason: str) -> None:
    """Warn, once in a process and where the package was called, why `auto` takes other kernels."""
    global _has_warned
    if _has_warned:
        return
    _has_warned = True
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals["__name__"].startswith(("edgelinear", "torch.")):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{reason}. Layers on a CPU take slower ones.", stacklevel=level)


def _self_test(kernels: Kernels) -> str | None:
    """Return None, or what the kernels got wrong on a small layer."""
    edges = [(2, 1), (0, 0), (2, 0), (1, 1)]
    topology = Topology(3, 2, edges)
    weight = torch.tensor([2, 3, 5, 7], dtype=torch.float32)
    x = torch.arange(51, dtype=torch.float32).view(17, 3)
    y = torch.stack([3 * x[:, 0] + 5 * x[:, 2], 2 * x[:, 2] + 7 * x[:, 1]], 1)
    w = torch.stack([(y[:, t] * x[:, s]).sum() for s, t in edges])
    sums, dots = torch.zeros_like(y), torch.zeros_like(w)
    kernels.run(SUMS, topology, x, sums=sums, weight=weight)
    kernels.run(DOTS, topology, x, rowwise=y, dots=dots)
    if torch.equal(sums, y) and torch.equal(dots, w):
        return None
    return "the compiled kernels fail their self-test on this processor"


def _check_threads(result: int) -> None:
    if result:
        raise RuntimeError("torch's threads failed inside a kernel: its result is lost.")


def _gives_huge_pages() -> bool:
    """Return whether the system gives huge pages to who asks for them."""
    for path in _SETTINGS:
        try:
            setting = path.read_text()
        except OSError:  # not Linux, or an older one
            continue
        if "[inherit]" not in setting:
            return "[never]" not in setting
    return False


def _is_own_memory(begin: int, end: int) -> bool:
    """Return whether these addresses are memory of this process alone, and not of a file."""
    own = 0
    try:
        with open("/proc/self/maps") as mappings:
            for mapping in mappings:
                addresses, access, _, _, inode, *_ = mapping.split()
                low, high = (int(address, 16) for address in addresses.split("-"))
                if access.endswith("p") and inode == "0":
                    own += max(0, min(high, end) - max(low, begin))
    except OSError:  # no /proc here
        return False
    return own == end - begin


def _address_and_strides(matrix: Tensor) -> tuple[int, int, int]:
    """Return the `Matrix` of kernels.h: the address, and the strides of features and of samples."""
    sample, feature = matrix.stride()
    address = matrix.data_ptr()
    if address < _LOW:
        _refuse_freed(matrix)
    return address, feature, sample


def _refuse_freed(*tensors: Tensor | None) -> None:
    """Refuse tensors whose numbers are gone: memory that is not theirs would be read."""
    for tensor in tensors:
        if tensor is not None and tensor.numel() and not tensor.untyped_storage().nbytes():
            raise RuntimeError(
                f"the memory of a tensor of shape {tuple(tensor.shape)} was freed, as by "
                "`untyped_storage().resize_(0)`: it must stay until forward and backward are done."
            )


def unit_stride(matrix: Tensor) -> Tensor:
    """Return the matrix with one of its strides 1, copied if neither is."""
    return matrix if 1 in matrix.stride() else matrix.contiguous()
