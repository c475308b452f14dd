"""Edge tables in text files as people have them: the same edges, or a message that says why not."""

import bz2
import gzip
import lzma
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from edgelinear import convert

EDGES = {("a", "x"): 0.5, ("b", "x"): -1.0, ("b", "y"): 2.0}


def written(tmp_path, text, name="edges.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def edges(wiring):
    src, dst = wiring.topology.edge_index.tolist()
    ends = [(wiring.in_names[s], wiring.out_names[t]) for s, t in zip(src, dst, strict=True)]
    values = [None] * len(ends) if wiring.weight is None else wiring.weight.tolist()
    return dict(zip(ends, values, strict=True))


def table(sep=",", decimal=".", end="\n", header=True):
    rows = ["source,target,weight"] * header + ["a,x,0.5", "b,x,-1.0", "b,y,2.0"]
    return end.join(row.replace(".", "\0").replace(",", sep).replace("\0", decimal) for row in rows)


@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.txt", "e.TXT", "e", "e.tab", "e.sif"])
@pytest.mark.parametrize("sep", [",", "\t", ";", "|", " ", "  ", " \t "])
def test_separator_is_what_has_the_columns_wanted(tmp_path, name, sep):
    assert edges(convert.from_table(written(tmp_path, table(sep), name))) == EDGES


@pytest.mark.parametrize("sep", [";", "\t", "|", r"\s+"])
def test_separator_may_be_said(tmp_path, sep):
    text = table(" \t " if sep == r"\s+" else sep)
    assert edges(convert.from_table(written(tmp_path, text), sep=sep)) == EDGES


def test_separator_that_is_wrong_is_said_with_what_was_seen(tmp_path):
    with pytest.raises(ValueError, match=r"no column 'source'.*by ';', are 'source,target,weight'"):
        convert.from_table(written(tmp_path, table()), sep=";")


@pytest.mark.parametrize("sep", ["ab", "", "\\s"])
def test_separator_of_several_characters_is_refused(tmp_path, sep):
    with pytest.raises(ValueError, match="`sep` must be one character"):
        convert.from_table(written(tmp_path, table()), sep=sep)


def test_header_that_two_separators_part_is_refused(tmp_path):
    path = written(tmp_path, "source;1\tsource;target\ttarget\na\tb\tc\n", "e.txt")
    path.write_text("q;source;target;q\tsource\ttarget\n")
    with pytest.raises(ValueError, match="both by '.t' and by ';': pass `sep`"):
        convert.from_table(path)


@pytest.mark.parametrize("row", ["a  x 1", "a\tx 1", "a  1"])
def test_runs_of_blanks_under_a_header_of_single_ones_are_asked_for(tmp_path, row):
    path = written(tmp_path, f"source target n\nb y 1\n{row}\n", "e.txt")
    with pytest.raises(
        ValueError, match="line 3 has .*, where one blank parts the cells of line 1"
    ):
        convert.from_table(path)
    if row != "a  1":
        assert edges(convert.from_table(path, sep=r"\s+")).keys() == {("b", "y"), ("a", "x")}


def test_comma_in_a_name_of_a_semicolon_file_is_kept(tmp_path):
    path = written(tmp_path, "source;target\na,b;x\nc;y\n")
    assert convert.from_table(path).in_names == ["a,b", "c"]


@pytest.mark.parametrize("sep", [";", "\t", " "])
def test_decimal_comma_is_read(tmp_path, sep):
    path = written(tmp_path, table(sep, decimal=","))
    assert edges(convert.from_table(path)) == EDGES
    assert edges(convert.from_table(path, decimal=",")) == EDGES


def test_decimal_comma_after_many_whole_numbers_is_read(tmp_path):
    rows = [f"{i};x;{i}" for i in range(60_000)] + ["60000;x;1,5"]
    wiring = convert.from_table(written(tmp_path, "\n".join(["source;target;weight", *rows])))
    assert wiring.weight.tolist() == [*map(float, range(60_000)), 1.5]


def test_comma_that_may_part_thousands_is_refused(tmp_path):
    path = written(tmp_path, "source;target;weight\na;x;1,234\nb;x;2\n")
    with pytest.raises(ValueError, match='may be 1.234 or 1234: pass decimal=","'):
        convert.from_table(path)
    assert convert.from_table(path, decimal=",").weight.tolist() == [1.234, 2.0]


def test_point_and_comma_in_numbers_are_refused(tmp_path):
    path = written(tmp_path, "source;target;weight\na;x;1.5\nb;x;0,5\n")
    with pytest.raises(ValueError, match="must hold numbers, got '0,5' in row 1"):
        convert.from_table(path)


@pytest.mark.parametrize("cells", [("1.234", "2"), ("1.000", "2.000"), ("-1.234", " 10.500 ")])
def test_point_that_may_part_thousands_is_refused_where_commas_are_decimal(tmp_path, cells):
    path = written(tmp_path, "source;target;weight\na;x;{}\nb;x;{}\n".format(*cells))
    first = cells[0].replace(".", "[.]")
    whole = cells[0].replace(".", "")
    with pytest.raises(ValueError, match=f'may be {first} or {whole}: pass decimal="[.]"'):
        convert.from_table(path)
    assert convert.from_table(path, decimal=".").weight.tolist() == [*map(float, cells)]
    assert convert.from_table(path, weight=False).weight is None


@pytest.mark.parametrize("cells", [("1.234", "0.567"), ("1.234", "1.5"), ("1.234", "1234.567")])
def test_point_that_parts_no_thousands_is_decimal(tmp_path, cells):
    path = written(tmp_path, "source;target;weight\na;x;{}\nb;x;{}\n".format(*cells))
    assert convert.from_table(path).weight.tolist() == [*map(float, cells)]


def test_points_in_a_file_whose_cells_commas_part_are_decimal(tmp_path):
    path = written(tmp_path, "source,target,weight\na,x,1.234\nb,x,2.500\n\n")
    assert convert.from_table(path).weight.tolist() == [1.234, 2.5]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("0,5", "\u22121,5"), "got '\u22121,5' in row 1: it has '\u2212' for a minus"),
        (("0.5", "\u20131.5"), "got '\u20131.5' in row 1: it has '\u2013' for a minus"),
        (("0,5", "abc"), "got 'abc' in row 1"),
        (("0,5", "1,5,2"), "got '1,5,2' in row 1"),
        (("0,5", "a\u2010b"), "got 'a\u2010b' in row 1[.]$"),
    ],
)
def test_cell_that_is_no_number_is_named_and_none_before_it(tmp_path, cells, said):
    path = written(tmp_path, "source;target;weight\na;x;{}\nb;x;{}\n".format(*cells))
    with pytest.raises(ValueError, match=f"column 'weight' must hold numbers, {said}"):
        convert.from_table(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_mark_and_line_ends_of_other_systems_are_no_part_of_names(tmp_path, encoding, end, sep):
    path = written(tmp_path, table(sep, end=end) + end, encoding=encoding)
    assert edges(convert.from_table(path)) == EDGES


def test_lone_carriage_return_among_other_line_ends_is_refused(tmp_path):
    path = written(tmp_path, "source,target,n\na,x,1\nb,y\rz,2\n")
    with pytest.raises(ValueError, match="line 3 holds a carriage return"):
        convert.from_table(path)


def test_text_that_is_no_utf8_names_its_line(tmp_path):
    path = written(tmp_path, "source,target\na,x\nβ,x\n".replace("β", "é"), encoding="cp1252")
    with pytest.raises(ValueError, match="line 3 is not in utf-8. Save it in UTF-8"):
        convert.from_table(path)


def test_nul_byte_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 2 holds a NUL byte"):
        convert.from_table(written(tmp_path, "source,target\na\0b,x\n"))


PACK = {
    ".gz": gzip.compress,
    ".GZ": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", [*PACK, ".zip", ".ZIP"])
@pytest.mark.parametrize("name", ["e.csv", "E.TSV"])
def test_packed_file_is_read(tmp_path, ending, name):
    text, path = table("\t" if "TSV" in name else ",").encode(), tmp_path / (name + ending)
    if ending in PACK:
        path.write_bytes(PACK[ending](text))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__MACOSX/._e.csv", "")
            archive.writestr("folder/e.csv", text)
    assert edges(convert.from_table(path)) == EDGES


def test_archive_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("a.csv", table())
        archive.writestr("b.csv", table())
    with pytest.raises(ValueError, match=r"must hold one file, got 2 \(a.csv, b.csv\)"):
        convert.from_table(tmp_path / "e.zip")


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip"])
def test_file_that_is_not_packed_as_it_says_is_refused(tmp_path, ending):
    for content in (b"source,target\na,x\n", PACK.get(ending, gzip.compress)(b"x" * 999)[:-9]):
        with pytest.raises(ValueError, match=rf"cannot be read as a {ending} file"):
            convert.from_table(written(tmp_path, content, "e.csv" + ending))


@pytest.mark.parametrize("ending", ["xlsx", "xls", "ods"])
def test_workbook_says_how_to_go_on(tmp_path, ending):
    with pytest.raises(ValueError, match="is a workbook: save the sheet as CSV, or pass"):
        convert.from_table(written(tmp_path, "", f"e.{ending}"))


# Headers and comments


def test_file_without_a_header_says_so(tmp_path):
    path = written(tmp_path, table(header=False))
    with pytest.raises(ValueError, match=r"no column 'source'.*'a,x,0.5' is no header, pass"):
        convert.from_table(path)
    names = ["source", "target", "weight"]
    assert edges(convert.from_table(path, columns=names)) == EDGES
    assert edges(convert.from_table(path, header=False, columns=names)) == EDGES
    assert edges(convert.from_table(path, header=False, source=0, target=1, weight=2)) == EDGES


def test_header_may_get_other_names(tmp_path):
    path = written(tmp_path, "pre;post;n\na;x;0.5\nb;x;-1\nb;y;2\n")
    names = ["source", "target", "weight"]
    assert edges(convert.from_table(path, header=True, columns=names)) == EDGES


@pytest.mark.parametrize("sep", [",", "\t", ";", " "])
def test_separator_without_a_header_is_what_gives_as_many_cells_as_columns(tmp_path, sep):
    path = written(tmp_path, table(sep, header=False), "e.txt")
    assert edges(convert.from_table(path, columns=["source", "target", "weight"])) == EDGES


def test_rows_that_two_separators_part_alike_are_refused(tmp_path):
    path = written(tmp_path, "a,1;x\nb,2;y\n")
    with pytest.raises(ValueError, match="can be parted by ',' and by ';': pass `sep`"):
        convert.from_table(path, columns=["source", "target"])
    wiring = convert.from_table(path, columns=["source", "target"], sep=";")
    assert wiring.in_names == ["a,1", "b,2"]


def test_number_of_columns_that_fits_nothing_is_said(tmp_path):
    path = written(tmp_path, table(header=False))
    with pytest.raises(ValueError, match="2 cells, as `columns` names them, got 3 by ','"):
        convert.from_table(path, columns=["source", "target"])


@pytest.mark.parametrize("mark", ["#", "%", "# ", "#!"])
def test_comments_above_the_header_are_no_rows(tmp_path, mark):
    path = written(tmp_path, f"{mark}made by a script, on a day\n{mark}\n\n{table()}")
    assert edges(convert.from_table(path)) == EDGES


def test_header_may_be_written_as_a_comment(tmp_path):
    rows = np.array([[1, 2], [3, 4]])
    np.savetxt(tmp_path / "e.txt", rows, fmt="%d", header="made by numpy\nsource target")
    assert edges(convert.from_table(tmp_path / "e.txt")) == {(1, 2): None, (3, 4): None}


def test_header_that_begins_as_a_comment_is_a_header(tmp_path):
    path = written(tmp_path, "#id\tpre\tpost\n1\ta\tx\n2\tb\tx\n", "e.txt")
    assert edges(convert.from_table(path, source="pre", target="post")).keys() == {
        ("a", "x"),
        ("b", "x"),
    }


@pytest.mark.parametrize("line", ["# b, z", "#b,z", "% b,z"])
@pytest.mark.parametrize("columns", [None, ["source", "target"]])
def test_line_that_may_be_a_comment_or_a_row_is_asked_for(tmp_path, line, columns):
    text = f"a,x\n{line}\nb,y\n"
    path = written(tmp_path, text if columns else f"source,target\n{text}")
    with pytest.raises(ValueError, match=f"pass comment='{line[0]}' to skip lines"):
        convert.from_table(path, columns=columns)
    rows = edges(convert.from_table(path, columns=columns, comment=line[0]))
    assert rows.keys() == {("a", "x"), ("b", "y")}
    rows = edges(convert.from_table(path, columns=columns, comment=False))
    assert rows.keys() == {("a", "x"), ("b", "y"), tuple(line.split(","))}


def test_first_line_that_may_be_a_comment_or_a_row_is_asked_for(tmp_path):
    path = written(tmp_path, "# FromNode\tToNode\n0\t1\n", "e.txt")
    with pytest.raises(ValueError, match="line 1 is '# FromNode.*pass comment='#'"):
        convert.from_table(path, columns=["source", "target"])
    found = convert.from_table(path, columns=["source", "target"], comment="#")
    assert edges(found) == {(0, 1): None}


def test_comment_of_several_characters_is_skipped(tmp_path):
    path = written(tmp_path, "// by hand\nsource,target\n// a,b\na,x\n")
    assert edges(convert.from_table(path, comment="//")) == {("a", "x"): None}


def test_mark_inside_a_name_is_no_comment(tmp_path):
    path = written(tmp_path, "source,target\na#1,x\na%2,x\n")
    assert convert.from_table(path, comment="#").in_names == ["a#1", "a%2"]


@pytest.mark.parametrize("options", [{"comment": ""}, {"comment": True}, {"header": 0.5}])
def test_option_of_another_kind_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        convert.from_table(written(tmp_path, table()), **options)


def test_options_of_text_are_refused_with_a_frame():
    frame = pd.DataFrame({"source": ["a"], "target": ["x"]})
    for option in ({"sep": ","}, {"header": True}, {"comment": "#"}, {"decimal": ","}):
        with pytest.raises(ValueError, match="is for a file of text"):
            convert.from_table(frame, **option)


def test_column_given_twice_in_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has 2 columns 'source'"):
        convert.from_table(written(tmp_path, "source,source,target\na,b,c\n"))


# Quotes


def test_quotes_keep_separators_and_quotes_in_a_name(tmp_path):
    path = written(tmp_path, 'source,target\n"a, b","x ""y"""\n5"-cap,z\n')
    assert edges(convert.from_table(path)).keys() == {("a, b", 'x "y"'), ('5"-cap', "z")}


@pytest.mark.parametrize(
    "rows",
    ['"a,x\nb,y\n', 'a,"x\nb,y\nc",z\n', '"a"b,x\n', '"a" ,x\n', 'a,"x\n', '"a\nb",x\n'],
)
def test_cell_whose_quote_does_not_close_it_is_refused(tmp_path, rows):
    with pytest.raises(ValueError, match="line 3 has .*: a cell that begins with a quote must end"):
        convert.from_table(written(tmp_path, f"source,target\nq,r\n{rows}"))


def test_line_that_another_column_swallowed_is_refused(tmp_path):
    path = written(tmp_path, 'source,target,note\na,x,"see\nb,y,below"\nc,z,\n')
    with pytest.raises(ValueError, match="line 2 has '\"see'"):
        convert.from_table(path)


@pytest.mark.parametrize("row", ["'a','x'", "'a,b',x", "a,'x'"])
def test_single_quotes_are_refused(tmp_path, row):
    with pytest.raises(ValueError, match="line 2 has cells in single quotes"):
        convert.from_table(written(tmp_path, f"source,target,weight\n{row},1\n"), weight=False)


def test_apostrophe_is_part_of_a_name(tmp_path):
    path = written(tmp_path, "source,target\n5'-cap,3'\n't Hooft,x\n")
    assert convert.from_table(path).in_names == ["5'-cap", "'t Hooft"]


# Blanks and invisible characters

SAME = ["TP53 ", " TP53", "TP53\xa0", "\u200bTP53", "TP\u200b53", "TP53\ufeff", "\u3000TP53"]


@pytest.mark.parametrize("other", SAME)
@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize("column", [0, 1])
def test_names_that_differ_by_blanks_are_refused_or_one_node(tmp_path, other, as_file, column):
    rows = [("TP53", "repair"), (other, "growth")]
    if column:  # across columns as well: a recurrent network has each name at both ends
        rows = [("TP53", "MYC"), ("MYC", other)]
    frame = pd.DataFrame(rows, columns=["source", "target"])
    data = frame
    if as_file:
        data = tmp_path / "e.csv"
        frame.to_csv(data, index=False)
    with pytest.raises(ValueError, match="differ by blanks alone: pass strip=True"):
        convert.from_table(data)
    wiring = convert.from_table(data, strip=True)
    assert "TP53" in wiring.in_names and len({*wiring.in_names, *wiring.out_names}) == 3 - column
    assert wiring.topology.num_edges == 2


def test_blank_inside_a_name_that_looks_like_another_is_refused():
    frame = pd.DataFrame({"source": ["cell cycle", "cell\xa0cycle"], "target": ["x", "y"]})
    with pytest.raises(ValueError, match=r"'cell.xa0cycle' in column 'source' differ by blanks"):
        convert.from_table(frame)
    assert convert.from_table(frame, strip=True).in_names == ["cell cycle"]


@pytest.mark.parametrize("name", [" ", "\xa0", "\u200b"])
def test_blank_name_is_refused(tmp_path, name):
    frame = pd.DataFrame({"source": ["a", name], "target": ["x", "y"]})
    with pytest.raises(ValueError, match="column 'source' has .* for a name"):
        convert.from_table(frame)
    with pytest.raises(ValueError, match="column 'source' has .* for a name"):
        convert.from_table(frame, strip=True)


def test_name_that_differs_from_a_given_one_by_blanks_says_so():
    frame = pd.DataFrame({"source": ["TP53 "], "target": ["x"]})
    with pytest.raises(ValueError, match="`in_names` but for blanks: pass strip=True"):
        convert.from_table(frame, in_names=["TP53"])
    assert convert.from_table(frame, in_names=["TP53"], strip=True).in_names == ["TP53"]


def test_blanks_around_whole_numbers_go_on_request(tmp_path):
    path = written(tmp_path, "source, target\n1, 2\n3, 4\n")
    with pytest.raises(ValueError, match="differ by blanks alone: pass strip=True"):
        convert.from_table(path)
    assert edges(convert.from_table(path, strip=True)) == {(1, 2): None, (3, 4): None}


PLAIN = [("TP53", "repair"), ("MYC", "growth")]
BLANK = [("TP53 gene", "DNA repair"), ("MYC gene", "cell growth")]


def padded(sep, rows, head=None, tail=""):
    lines = [f"source{head or f' {sep} '}target{tail}"]
    return "\n".join(lines + [f"{source}{sep}{target}" for source, target in rows]) + "\n"


@pytest.mark.parametrize("sep", [",", ";", "|", "\t"])
@pytest.mark.parametrize("head", [" {} ", "  {} ", "{} ", " {}"])
@pytest.mark.parametrize("rows", [PLAIN, BLANK])
@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.txt"])
def test_blanks_around_the_separator_of_a_header_part_nothing(tmp_path, sep, head, rows, name):
    path = written(tmp_path, padded(sep, rows, head.format(sep)), name)
    assert edges(convert.from_table(path, strip=True)) == dict.fromkeys(rows)
    if sep == "\t" and rows is PLAIN:  # by tabs or by runs of blanks, these are the same edges
        assert edges(convert.from_table(path)) == dict.fromkeys(rows)
        return
    with pytest.raises(ValueError, match=f"{re.escape(repr(sep))}.*blanks alone: pass strip=True"):
        convert.from_table(path)


@pytest.mark.parametrize("row", ["TP53 gene\trepair\t", "TP53\t\trepair", "\tTP53\trepair"])
def test_row_that_tabs_and_blanks_part_otherwise_is_refused(tmp_path, row):
    path = written(tmp_path, f"source \t target \t note\na\tx\tn\n{row}\n")
    with pytest.raises(ValueError, match="differ by blanks alone: pass strip=True"):
        convert.from_table(path)


@pytest.mark.parametrize(
    "header",
    ['"source" , "target"', '"source" ; "target"', "source target ,", "source || x target"],
)
@pytest.mark.parametrize("strip", [True, False])
def test_header_with_a_separator_for_a_cell_is_not_parted_by_blanks(tmp_path, header, strip):
    path = written(tmp_path, f"{header}\nTP53 gene,DNA repair\n")
    with pytest.raises(ValueError, match="no column"):
        convert.from_table(path, strip=strip)


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff ", "# ", "#", "sep=;\n"])
def test_padded_header_after_a_mark_is_not_parted_by_blanks(tmp_path, mark):
    path = written(tmp_path, mark + padded(";", BLANK))
    with pytest.raises(ValueError, match="no column 'source'"):
        convert.from_table(path)
    assert edges(convert.from_table(path, strip=True)) == dict.fromkeys(BLANK)


@pytest.mark.parametrize("decimal", [None, ","])
def test_decimal_comma_with_blanks_around_is_read(tmp_path, decimal):
    path = written(tmp_path, table(" ; ", decimal=","))
    assert edges(convert.from_table(path, strip=True, decimal=decimal)) == EDGES


def test_padded_number_and_its_plain_twin_are_refused(tmp_path):
    path = written(tmp_path, "source,target\n1, 2\n2, 3\n3, 1\n")
    with pytest.raises(ValueError, match="differ by blanks alone"):
        convert.from_table(path)


# Ids


@pytest.mark.parametrize(
    "ids",
    [[3, 1, 2], [3.0, 1.0, 2.0], ["c", "a", "b"], [2**63 + 1, 5, 7], [720575940600000123, 1, 2]],
)
def test_ids_of_a_file_and_of_a_frame_have_the_same_names(tmp_path, ids):
    frame = pd.DataFrame({"source": ids, "target": ids[::-1]})
    frame.to_csv(tmp_path / "e.csv", index=False)
    read, direct = convert.from_table(tmp_path / "e.csv"), convert.from_table(frame)
    assert (read.in_names, read.out_names) == (direct.in_names, direct.out_names)
    assert [*map(type, read.in_names)] == [*map(type, direct.in_names)]
    assert read.topology == direct.topology


@pytest.mark.parametrize("odd", ["007", "+7", " 7", "7 ", "-0", "7e0", "0x7", "7_0", "٧"])
@pytest.mark.parametrize("row", [0, 70, 99])
@pytest.mark.parametrize("form", ["{0},x{1}", '"{0}","x{1}"', "x{1},{0}"])
def test_number_that_is_not_plain_is_text_wherever_it_stands(tmp_path, odd, row, form):
    ids = [str(i) for i in range(100, 200)]
    ids[row] = odd
    lines = ["source,target", *(form.format(name, i) for i, name in enumerate(ids))]
    wiring = convert.from_table(written(tmp_path, "\n".join(lines)))
    names = wiring.out_names if form.startswith("x") else wiring.in_names
    assert names == ids


def test_number_that_is_not_plain_is_seen_across_blocks(tmp_path):
    rows = ["source,target"] + [f"{i},1" for i in range(150_000)]
    for at in range(74_000, 74_400):  # around the 2**19th byte
        if sum(map(len, rows[1:at])) + at > 2**19:
            break
    for step in range(-3, 4):
        changed = [*rows]
        changed[at + step] = f"0{at},1"
        wiring = convert.from_table(written(tmp_path, "\n".join(changed)))
        assert f"0{at}" in wiring.in_names


@pytest.mark.parametrize("name", ["7,20576E+17", "7.20576E+17", "-7.2e17", "7E+17"])
@pytest.mark.parametrize("column", ["source", "target"])
@pytest.mark.parametrize("others", [["b", "5"], ["8.1E+17", "9.1E+17"]])
def test_id_that_a_spreadsheet_shortened_is_refused(tmp_path, name, column, others):
    header = "source;target" if column == "source" else "target;source"
    rows = [header, *(f"{cell};x{i}" for i, cell in enumerate([name, *others]))]
    path = written(tmp_path, "\n".join(rows))
    with pytest.raises(ValueError, match="in row 0, an id of which .*export it as text") as error:
        convert.from_table(path)
    assert f"column {column!r} has {name!r}" in str(error.value)
    frame = pd.read_csv(path, sep=";", dtype=str)  # as the message says
    assert name in getattr(
        convert.from_table(frame), f"{'in' if column == 'source' else 'out'}_names"
    )


@pytest.mark.parametrize("name", ["2310009E13", "1e3", "7E17", "1.5E", "E+17", "v1.5E+3"])
def test_name_with_an_exponent_in_it_is_kept(tmp_path, name):
    path = written(tmp_path, f"source,target\n{name},x\nb,y\n")
    assert convert.from_table(path).in_names == [name, "b"]


def test_names_in_a_file_of_numbers_may_be_wanted_as_text(tmp_path):
    path = written(tmp_path, "source,target\n7,x\n5,x\n")
    assert convert.from_table(path, in_names=["5", "7"]).topology.src.tolist() == [1, 0]


# Weights, rows, unknown names


def test_missing_weight_is_no_matter_to_who_wants_none(tmp_path):
    path = written(tmp_path, "source,target,weight\na,x,0.5\nb,x,\n")
    with pytest.raises(
        ValueError,
        match=r"column 'weight' has no value in row 1 .*`pandas.read_csv\(path, sep=','\)"
        r".dropna\(subset=\['weight'\]\)`, or pass weight=False",
    ):
        convert.from_table(path)
    left = pd.read_csv(path, sep=",").dropna(subset=["weight"])  # as the message says
    assert edges(convert.from_table(left)) == {("a", "x"): 0.5}
    for data in (path, pd.read_csv(path)):
        wiring = convert.from_table(data, weight=False)
        assert wiring.weight is None and wiring.topology.num_edges == 2


def test_empty_rows_that_a_spreadsheet_leaves_below_are_none(tmp_path):
    path = written(tmp_path, table() + "\n,,\n,,\n")
    assert edges(convert.from_table(path)) == EDGES
    with pytest.raises(ValueError, match="no value in row 1"):
        convert.from_table(written(tmp_path, "source,target\na,x\n,\nb,y\n"))


def test_row_that_is_too_wide_names_its_line(tmp_path):
    path = written(tmp_path, "# note\n\nsource,target\na,x\nb,y,z\n")
    with pytest.raises(ValueError, match="line 5 has 3 cells, where the header has 2 by ','"):
        convert.from_table(path)


def test_hint_of_excel_says_the_separator(tmp_path):
    path = written(tmp_path, "sep=;\r\n" + table(";", decimal=",", end="\r\n"))
    assert edges(convert.from_table(path)) == EDGES


def test_rows_of_unknown_names_are_dropped_with_a_count():
    frame = pd.DataFrame(
        {
            "source": ["a", "q", "b", "r", "b"],
            "target": ["x", "x", "y", "z", "x"],
            "weight": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    said = r"2 of 5 rows were dropped: 2 names \('q', 'r'\) not in `in_names`"
    with pytest.warns(UserWarning, match=said) as caught:
        wiring = convert.from_table(frame, in_names=["b", "a", "c"], unknown="drop")
    assert caught[0].filename == __file__
    assert wiring.in_names == ["b", "a", "c"] and wiring.out_names == ["x", "y"]
    assert edges(wiring) == {("a", "x"): 1.0, ("b", "y"): 3.0, ("b", "x"): 5.0}
    assert wiring.rows.follow(frame["weight"].to_numpy()).tolist() == wiring.weight.tolist()


def test_dropped_rows_do_not_shift_the_rows_of_a_duplicate():
    frame = pd.DataFrame({"source": ["q", "a", "q", "a"], "target": ["x"] * 4})
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"\(rows 1 and 3\)"):
        convert.from_table(frame, in_names=["a"], unknown="drop")
    with pytest.warns(UserWarning):
        merged = convert.from_table(frame, in_names=["a"], unknown="drop", duplicates="merge")
    assert merged.rows.old.tolist() == [1]


def test_names_of_which_none_is_known_are_refused():
    frame = pd.DataFrame({"source": ["a", "b"], "target": ["x", "y"]})
    with pytest.raises(ValueError, match="no row has both its ends among the names listed: 2"):
        convert.from_table(frame, in_names=["A", "B"], unknown="drop")
    with pytest.raises(ValueError, match="needs `in_names` or `out_names`"):
        convert.from_table(frame, unknown="drop")


def test_cell_that_holds_a_list_is_refused():
    frame = pd.DataFrame({"source": [["a"], ["b"]], "target": ["x", "y"]})
    with pytest.raises(TypeError, match="column 'source' must hold one name a cell"):
        convert.from_table(frame)
