"""Any names, through every writer that people use: they come back exactly, or are refused."""

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelinear import convert

# The characters that tables break at, and some of every other kind.
ALPHABET = "ab07.-+#%,;|\t \"'\n\r\\/eE\xa0\u200b\ufeffé字\x0b\x0c\x85\u2028"
WRITERS = {
    "pandas": lambda f, p: f.to_csv(p, index=False),
    "pandas, semicolon": lambda f, p: f.to_csv(p, index=False, sep=";", decimal=","),
    "pandas, tab": lambda f, p: f.to_csv(p, index=False, sep="\t"),
    "pandas, all quoted": lambda f, p: f.to_csv(p, index=False, quoting=csv.QUOTE_ALL),
    "pandas, texts quoted": lambda f, p: f.to_csv(p, index=False, quoting=csv.QUOTE_NONNUMERIC),
    "pandas, windows": lambda f, p: f.to_csv(p, index=False, lineterminator="\r\n"),
    "pandas, mark": lambda f, p: f.to_csv(p, index=False, encoding="utf-8-sig"),
    "pandas, utf-16": lambda f, p: f.to_csv(p, index=False, encoding="utf-16", sep="\t"),
    "pandas, blank": lambda f, p: f.to_csv(p, index=False, sep=" "),
    "csv, excel": lambda f, p: write(f, p, dialect="excel"),
    "csv, excel-tab": lambda f, p: write(f, p, dialect="excel-tab"),
    "csv, unix": lambda f, p: write(f, p, dialect="unix"),
    "csv, pipe": lambda f, p: write(f, p, delimiter="|"),
    "csv, single quotes": lambda f, p: write(f, p, quotechar="'"),
    "csv, all in single quotes": lambda f, p: write(f, p, quotechar="'", quoting=csv.QUOTE_ALL),
}


def write(frame, path, **options):
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, **options)
        rows.writerow(frame.columns)
        rows.writerows(frame.itertuples(index=False))


def as_read(column):
    bare = [name.removesuffix(".0") for name in column]
    whole = all(re.fullmatch("-?(0|[1-9][0-9]*)", name) and name != "-0" for name in bare)
    return bare if whole else column


def ends(wiring):
    src, dst = wiring.topology.edge_index.tolist()
    return [
        (str(wiring.in_names[s]), str(wiring.out_names[t])) for s, t in zip(src, dst, strict=True)
    ]


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=150)
@given(
    rows=st.lists(
        st.tuples(*[st.text(ALPHABET, min_size=1, max_size=5)] * 2), min_size=1, max_size=4
    )
)
def test_names_come_back_exactly_or_are_refused(tmp_path_factory, writer, rows):
    frame = pd.DataFrame(rows, columns=["source", "target"])
    frame["weight"] = [0.5 + i for i in range(len(rows))]
    path = tmp_path_factory.getbasetemp() / f"{abs(hash(writer))}.txt"
    WRITERS[writer](frame, path)
    try:
        wiring = convert.from_table(path, duplicates="keep")
    except ValueError as error:
        assert str(error)
        return
    # Numbers that are written plainly are numbers, which the names of a frame are not.
    sources, targets = (as_read(column) for column in zip(*rows, strict=True))
    assert ends(wiring) == list(zip(sources, targets, strict=True))
    assert wiring.weight.tolist() == frame["weight"].tolist()


@settings(max_examples=300)
@given(text=st.text(ALPHABET + "sourcetarget", max_size=60))
def test_any_text_is_read_or_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(("source,target\n" + text).encode())
    try:
        wiring = convert.from_table(path, duplicates="keep")
    except ValueError as error:
        assert str(error)
        return
    # Where nothing is quoted, what Python's own reader finds is the truth.
    if not set('"\r') & set(text):
        rows = [row for row in csv.reader(io.StringIO("\n" + text.replace("\x00", ""))) if row]
        rows = [row[:2] if not any(row[2:]) else row for row in rows if any(row)]
        assert ends(wiring) == list(zip(*map(as_read, zip(*rows, strict=True)), strict=True))
