"""GMT files and lists of genes."""

import gzip

import pytest

from edgelinear import convert

GMT = "repair\thttps://x\tTP53\tBRCA1\ngrowth\tna\tMYC\tTP53\t\t\n\nsmall\t\tAKT1\n"


def written(tmp_path, text, name="sets.gmt"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def edges(wiring):
    src, dst = wiring.topology.edge_index.tolist()
    return {(wiring.in_names[s], wiring.out_names[t]) for s, t in zip(src, dst, strict=True)}


TRUTH = {
    ("TP53", "repair"),
    ("BRCA1", "repair"),
    ("MYC", "growth"),
    ("TP53", "growth"),
    ("AKT1", "small"),
}


@pytest.mark.parametrize(
    "text",
    [GMT, GMT.replace("\n", "\r\n"), "\ufeff" + GMT, gzip.compress(GMT.encode())],
    ids=["plain", "Windows", "byte-order mark", "packed"],
)
def test_gmt_leads_from_genes_to_sets(tmp_path, text):
    name = "sets.gmt.gz" if isinstance(text, bytes) else "sets.gmt"
    wiring = convert.read_gmt(written(tmp_path, text, name))
    assert edges(wiring) == TRUTH and wiring.weight is None
    assert wiring.out_names == ["repair", "growth", "small"] and wiring.topology.is_sorted


def test_blanks_around_names_go_on_request(tmp_path):
    path = written(tmp_path, "repair\tna\tTP53\tBRCA1\n growth\tna\tTP53 \t\u200bMYC\n")
    with pytest.raises(ValueError, match="differ by blanks alone: pass strip=True"):
        convert.read_gmt(path)
    wiring = convert.read_gmt(path, strip=True)
    assert wiring.in_names == ["TP53", "BRCA1", "MYC"]
    assert wiring.out_names == ["repair", "growth"]
    assert ("TP53", "growth") in edges(wiring)


@pytest.mark.parametrize("text", ["a\tna\tTP53\na \tna\tMYC\n", "a\tna\tTP53\t TP53\n"])
def test_names_that_are_one_without_blanks_are_refused_twice(tmp_path, text):
    with pytest.raises(ValueError, match="for the second time|is given twice"):
        convert.read_gmt(written(tmp_path, text), strip=True)


def test_genes_that_the_data_has_not_are_dropped_with_a_count(tmp_path):
    path = written(tmp_path, GMT)
    with pytest.raises(ValueError, match="column 'gene' has 'BRCA1' in row 1, which is not among"):
        convert.read_gmt(path, in_names=["MYC", "TP53"])
    with pytest.warns(UserWarning, match=r"2 of 5 rows .*2 names \('BRCA1', 'AKT1'\)") as caught:
        wiring = convert.read_gmt(path, in_names=["MYC", "TP53"], unknown="drop")
    assert caught[0].filename == __file__
    assert wiring.in_names == ["MYC", "TP53"] and wiring.out_names == ["repair", "growth"]
    assert edges(wiring) == {edge for edge in TRUTH if edge[0] in ("MYC", "TP53")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("repair\tna\n", "line 1 must have the name of a set"),
        ("TP53\trepair\nMYC\tgrowth\n", "line 1 must have"),
        ("a\tna\tTP53\nb,na,MYC\n", "line 2 must have"),
        ("a\tna\tTP53\t\tMYC\n", "line 1 must have"),
        ("a\tna\tTP53\na\tna\tMYC\n", "line 2 has the set 'a' for the second time"),
        ("a\tna\tTP53\nb\tna\tTP53 x\tTP53\u200b\n", "differ by blanks alone"),
        ("a\tna\tTP53\tTP53\n", r"edge 'TP53' -> 'a' is given twice \(genes 0 and 1\)"),
    ],
)
def test_gmt_that_does_not_hold_sets_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        convert.read_gmt(written(tmp_path, text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_of_a_list_are_bare(tmp_path, end):
    text = "\ufeff" + end.join(["TP53 ", "MYC", "", "\tAKT1", ""])
    assert convert.read_names(written(tmp_path, text, "g.txt")) == ["TP53", "MYC", "AKT1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("a\nb\na \n", "lists 'a' twice"), ("a\tb\n", "line 1 must be a name")],
)
def test_list_that_holds_no_names_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        convert.read_names(written(tmp_path, text, "g.txt"))
