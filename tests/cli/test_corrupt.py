"""Files of matrices whose indices are corrupt are refused, and not cut or read past their end."""

import numpy as np
import pytest

pytest.importorskip("click")
from edgelinear.__main__ import main  # noqa: E402

CSR = {"format": b"csr", "indices": np.array([0, 1, 2, 0]), "indptr": np.array([0, 1, 3, 4])}
COO = {"format": b"coo", "row": np.array([0, 1, 1, 2]), "col": np.array([0, 1, 2, 0])}


@pytest.mark.parametrize(
    "arrays, message",
    [
        (CSR | {"indptr": np.array([0, 3, 1, 4])}, "falls after position 1"),
        (CSR | {"indptr": np.array([0.0, 1.0, 3.0, 4.0])}, "`indptr` must hold integers"),
        (CSR | {"indices": np.array([0.5, 1.0, 2.0, 0.0])}, "`indices` must hold integers"),
        (COO | {"row": np.array([0.7, 1.0, 1.0, 2.0])}, "`row` must hold integers, got float64"),
        (COO | {"col": np.array([0.7, 1.0, 1.0, 2.0])}, "`col` must hold integers, got float64"),
    ],
)
def test_corrupt_npz_is_refused(tmp_path, capsys, arrays, message):
    path = tmp_path / "matrix.npz"
    np.savez(path, shape=(3, 3), data=np.ones(4), _is_array=True, **arrays)
    assert main(["compare", str(path)]) == 2
    assert message in capsys.readouterr().err
