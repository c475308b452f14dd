"""The largest eigenvalue of a sparse matrix, part by part."""

from typing import Any

import numpy as np

DENSE_NODES = 500  # up to here, LAPACK's dense eigenvalues take less than a second
_RELIABLE = 0.01  # the part of an eigenvalue that rounding may have changed


def spectral_radius(
    size: int,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    weight: np.ndarray,  # (num_edges,) float64
) -> float:
    """Return the largest absolute eigenvalue of the matrix, and 0 where it has no cycle.

    Eigenvalues are those of the strongly connected parts, each on its own. Of the whole matrix,
    rounding would give every chain between them some: n nodes in a row have eigenvalues of eps to
    the power 1/n, half of the weights for n = 50.

    Raises:
        ValueError: if rounding decides the eigenvalue, as its parts cancel.
        RuntimeError: if ARPACK finds none.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    matrix = csr_array((weight, (dst, src)), shape=(size, size))  # parallel edges add up
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    number, part = connected_components(matrix, directed=True, connection="strong")
    alone = np.bincount(part, minlength=number)[part] == 1
    largest = float(np.abs(matrix.diagonal()[alone]).max(initial=0.0))
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order], prepend=-1, append=number))
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        if end - start > 1:
            nodes = order[start:end]
            largest = max(largest, _largest(matrix[nodes][:, nodes]))
    return largest


def _largest(matrix: Any) -> float:
    return (largest_by_arpack if matrix.shape[0] > DENSE_NODES else _largest_dense)(matrix)


def _largest_dense(matrix: Any) -> float:
    from scipy.linalg import eig

    dense = matrix.toarray()
    values, left, right = eig(dense, left=True, right=True)
    at = int(np.abs(values).argmax())
    # Rounding moves an eigenvalue by eps * norm over the cosine between its two eigenvectors.
    cosine = abs(np.vdot(left[:, at], right[:, at]))
    blur = len(dense) * np.finfo(float).eps * np.linalg.norm(dense) / max(cosine, 1e-300)
    return _checked(abs(values[at]), blur)


def largest_by_arpack(matrix: Any) -> float:
    """Return the same of a large matrix, by some products with it."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigs, norm

    size = matrix.shape[0]
    start = np.random.default_rng(0).standard_normal(size)  # the same in every run
    try:
        # Of one eigenvalue alone, from fewer vectors, it took the second largest for the largest.
        values, vectors = eigs(
            matrix, k=min(4, size - 2), ncv=min(size, 60), v0=start, tol=1e-6, maxiter=10 * size
        )
    except ArpackNoConvergence as error:
        if not len(error.eigenvalues):
            raise RuntimeError(
                f"ARPACK found no eigenvalue of the {size} nodes that are joined in cycles: scale "
                "by `torch.linalg.eigvals(layer.to_dense())`, if that fits."
            ) from error
        values, vectors = error.eigenvalues, error.eigenvectors
    at = int(np.abs(values).argmax())
    vector = vectors[:, at]
    residual = float(np.linalg.norm(matrix @ vector - values[at] * vector))
    return _checked(abs(values[at]), residual + np.finfo(float).eps * norm(matrix))


def _checked(radius: float, blur: float) -> float:
    if blur > _RELIABLE * radius:
        raise ValueError(
            f"rounding decides the spectral radius of these weights, {radius:.2g} give or take "
            f"{blur:.2g}, as excitation and inhibition cancel: scale them by another measure."
        )
    return float(radius)
