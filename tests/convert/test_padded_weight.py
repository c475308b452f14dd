"""A column of weights whose name is padded must not be left out without a word."""

import pandas
import pytest

from edgelinear import convert


@pytest.mark.parametrize("name", ["weight ", " weight"])
def test_padded_column_of_weights_is_refused(name, tmp_path):
    table = pandas.DataFrame({"source": ["a"], "target": ["x"], name: [0.5]})
    table.to_csv(tmp_path / "edges.csv", index=False)
    for given in (table, tmp_path / "edges.csv"):
        with pytest.raises(ValueError, match="differs by blanks: rename it"):
            convert.from_table(given)
        assert convert.from_table(given, weight=False).weight is None
