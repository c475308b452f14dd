"""The one door for numbers: whatever holds them is taken by position, and becomes a tensor."""

import decimal
import numbers
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

_LARGEST = np.iinfo(np.int64).max


def as_numbers(what: str, values: Any) -> Tensor:
    """Return whatever holds numbers as a tensor, by position: labels of pandas have no say.

    Takes tensors, lists, and all that NumPy can read or that offers `__dlpack__` or `to_numpy`:
    arrays, nullable, arrow-backed, sparse and object columns of pandas, polars, pyarrow. A tensor
    is returned as it is, and memory may be shared with an array. Python's floats are of float64, as
    in NumPy. NaN stays what it is, except where it stands for a missing value.

    Args:
        what: what messages call it, as "`weight`".

    Raises:
        TypeError: if it holds something else.
        ValueError: if a value is missing or hidden, or too large for the type of the others.
    """
    if isinstance(values, Tensor):
        return _as_strided(what, values)
    if scipy.sparse.issparse(values):
        _check_flat(what, values.shape)
        values = values.toarray()
    if isinstance(values, (list, tuple, range)):
        return _from_list(what, values)
    array = as_array(what, values)
    if array.dtype == object and hasattr(values, "__dlpack__"):
        return torch.from_dlpack(values)
    return from_array(what, array)


def as_matrix(what: str, matrix: Any) -> Tensor:
    """Return a dense matrix of any kind as a tensor, 0 where a masked array hides its entry.

    Python's floats are of torch's default type.
    """
    if isinstance(matrix, np.ma.MaskedArray):
        matrix = matrix.filled(0)
    elif isinstance(matrix, torch.masked.MaskedTensor):
        matrix = matrix.to_tensor(0)
    found = as_numbers(what, matrix)
    return as_values(what, matrix) if found.is_floating_point() else found


def as_values(what: str, values: Any) -> Tensor:
    """Return numbers as values of data: whole ones, and Python's, are of torch's default type."""
    found = as_numbers(what, values)
    if found.is_complex() or (found.is_floating_point() and _has_width(values)):
        return found
    return cast(what, found, torch.get_default_dtype())


def _has_width(values: Any) -> bool:
    """Whether numbers have a type of their own: not those of Python in lists, or lists of lists."""
    first = values
    while isinstance(first, (list, tuple)):
        first = next(iter(first), None)
    return first is values or not (first is None or type(first) in (bool, int, float))


def as_array(what: str, values: Any) -> np.ndarray:
    """Return what NumPy can read as an array, in which objects that are numbers are so by type."""
    if isinstance(values, np.ma.MaskedArray):
        _refuse_missing(what, np.ma.getmaskarray(values))
        values = values.data
    if not hasattr(values, "__array__") and hasattr(values, "to_numpy"):
        array = np.asarray(values.to_numpy())
    else:
        array = np.asarray(values)
    if array.dtype == object and array.ndim:
        array = _from_objects(what, array)
    # Of pandas, polars and pyarrow, for which NaN stands where a value is missing.
    if array.dtype.kind == "f" and (hasattr(values, "isna") or hasattr(values, "null_count")):
        _refuse_missing(what, np.isnan(array))
    return array


def from_array(what: str, array: np.ndarray) -> Tensor:
    """Return numbers as a tensor of their type, or of the next one that torch computes with."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.dtype.name == "bfloat16":  # of ml_dtypes, as in JAX
        return torch.from_numpy(_writable(array).view(np.int16)).view(torch.bfloat16)
    if kind == "u" and size > 1:
        fits = array.size == 0 or array.max() <= _LARGEST
        array = array.astype(np.int64 if fits else np.float64)
    elif kind == "f" and size > 8:
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float64)
        _refuse_overflow(what, torch.from_numpy(np.isinf(narrow) & ~np.isinf(array)), array)
        array = narrow
    elif kind not in "biufc":
        got = type(array.item()).__name__ if array.ndim == 0 else f"an array of {array.dtype}"
        raise TypeError(f"{what} must hold numbers, got {got}.")
    return torch.from_numpy(_writable(array.astype(array.dtype.newbyteorder("="), copy=False)))


def cast(what: str, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values in another type, and refuse those that would become infinite in it.

    Raises:
        ValueError: if a value is too large for `dtype`.
    """
    narrow = values.to(dtype)
    if values.dtype == torch.bool or values.is_meta:
        return narrow
    limits = torch.finfo if values.is_floating_point() else torch.iinfo
    if limits(values.dtype).max > torch.finfo(dtype).max:
        infinite = narrow.isinf()
        if infinite.any():
            _refuse_overflow(what, infinite & ~values.isinf(), values, dtype)
    return narrow


def _from_list(what: str, values: Any) -> Tensor:
    first = next(iter(values), None)
    try:
        if isinstance(first, Tensor):
            return torch.stack([torch.as_tensor(value) for value in values])
        if isinstance(first, np.generic):
            return from_array(what, as_array(what, np.asarray(values)))
        if hasattr(first, "__array__"):  # rows, which torch reads one number at a time
            return from_array(what, np.stack([as_array(what, row) for row in values]))
        found = torch.as_tensor(values, device="cpu")  # whatever torch's default device is
    except (TypeError, ValueError, RuntimeError):
        return from_array(what, _from_objects(what, np.array(values, dtype=object)))
    if found.is_floating_point():  # as Python has them, and not rounded to torch's default type
        return torch.as_tensor(values, dtype=torch.float64, device="cpu")
    return found


def _from_objects(what: str, array: np.ndarray) -> np.ndarray:
    """Return objects that are numbers in one type for all."""
    kinds = {type(value) for value in array.flat}
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return array.astype(bool)
    if not all(issubclass(kind, (numbers.Real, np.bool_, decimal.Decimal)) for kind in kinds):
        _refuse_objects(what, array)
    if all(issubclass(kind, (numbers.Integral, np.bool_)) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{what} holds a number that is too large for float64.") from None


def _refuse_objects(what: str, array: np.ndarray) -> None:
    """Raise the error that names the first object that is no number, or is missing."""
    missing = np.array([_is_missing(value) for value in array.flat]).reshape(array.shape)
    _refuse_missing(what, missing)
    for i, value in enumerate(array.flat):
        if not isinstance(value, (numbers.Real, np.bool_, decimal.Decimal)):
            raise TypeError(f"{what} must hold numbers, got {value!r} {_where(i, array.shape)}.")


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # of pandas


def _refuse_missing(what: str, missing: np.ndarray) -> None:
    if missing.any():
        raise ValueError(
            f"{what} has no value {_where(int(missing.argmax()), missing.shape)} "
            f"({int(missing.sum())} missing in all): fill or drop them."
        )


def _refuse_overflow(what: str, lost: Tensor, values: Any, dtype: Any = torch.float64) -> None:
    if lost.any():
        i = int(lost.flatten().nonzero()[0])
        cure = "" if dtype == torch.float64 else ", or use torch.float64"
        raise ValueError(
            f"{what} holds {values.flatten()[i].item()} {_where(i, tuple(lost.shape))}, which is "
            f"too large for {dtype}: scale the values{cure}."
        )


def _where(i: int, shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return f"at position {i}"
    return f"at {[int(k) for k in np.unravel_index(i, shape)]}"


def _as_strided(what: str, values: Tensor) -> Tensor:
    if isinstance(values, torch.masked.MaskedTensor):
        _refuse_missing(what, ~values.get_mask().cpu().numpy())
        return values.get_data()
    if values.layout in _SPARSE:
        _check_flat(what, tuple(values.shape))
        return values.to_dense()
    return values.dequantize() if values.is_quantized else values


_SPARSE = {
    torch.sparse_coo,
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
}


def _check_flat(what: str, shape: tuple) -> None:
    if len(shape) != 1:  # which may be too large to be written out
        raise ValueError(f"{what} must be dense, got a sparse matrix of shape {tuple(shape)}.")


def _writable(array: np.ndarray) -> np.ndarray:
    """Return an array that torch can share: it warns of others, and refuses negative strides."""
    return np.require(array, requirements=["C", "W"])
