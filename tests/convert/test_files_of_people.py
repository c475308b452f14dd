"""Files as known projects and programs write them, small and made up, and the command line."""

import gzip
import json

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

import edgelinear as el
from edgelinear import convert

pytest.importorskip("click")
from edgelinear.__main__ import main  # noqa: E402
from edgelinear.comparison import measure  # noqa: E402

OPENWORM = """Neuron 1,Neuron 2,Type,Nbr
ADAR,ADAL,EJ,1
ADFL,ADAL,EJ,1
AVAL,AVAR,Sp,7
AVAL,VA08,S,12
"""
BIOGRID = (
    "#BioGRID Interaction ID\tEntrez Gene Interactor A\tOfficial Symbol Interactor A\t"
    "Official Symbol Interactor B\tExperimental System\tScore\n"
    "103\t6416\tMAP2K4\tFLNC\tTwo-hybrid\t-\n"
    "117\t84665\tMYPN\tACTN2\tTwo-hybrid\t-\n"
    "183\t90\tACVR1\tFNTA\tTwo-hybrid (5'-end)\t-\n"
)
SIF = "A1BG\tcontrols-expression-of\tA2M\nA1BG\tinteracts-with\tABCC6\nTP53\tcontrols\tMDM2\n"
EXCEL = (
    "sep=;\r\nGen;Pfad;Gewicht;Bemerkung\r\n"
    'TP53;Reparatur;0,75;"siehe; ""oben"""\r\nMYC;Wachstum;-1,5;\r\n;;;\r\n'
)
SNAP = "# Directed graph: wiki.txt\n# Nodes: 3 Edges: 2\n# FromNodeId\tToNodeId\n30\t1412\n3\t28\n"


def edges(wiring):
    src, dst = wiring.topology.edge_index.tolist()
    return [(wiring.in_names[s], wiring.out_names[t]) for s, t in zip(src, dst, strict=True)]


def written(tmp_path, text, name, encoding="utf-8"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def test_table_of_a_connectome_is_read(tmp_path):
    path = written(tmp_path, OPENWORM, "NeuronConnect.csv")
    wiring = convert.from_table(path, source="Neuron 1", target="Neuron 2", weight="Nbr")
    assert edges(wiring)[2:] == [("AVAL", "AVAR"), ("AVAL", "VA08")]
    assert wiring.weight.tolist() == [1.0, 1.0, 7.0, 12.0]


def test_table_of_interactions_is_read(tmp_path):
    path = written(tmp_path, BIOGRID, "BIOGRID-ALL.tab3.txt")
    ends = {"source": "Official Symbol Interactor A", "target": "Official Symbol Interactor B"}
    assert edges(convert.from_table(path, **ends)) == [
        ("MAP2K4", "FLNC"),
        ("MYPN", "ACTN2"),
        ("ACVR1", "FNTA"),
    ]
    numbers = convert.from_table(path, **ends | {"source": "Entrez Gene Interactor A"})
    assert numbers.in_names == [90, 6416, 84665]


def test_simple_interaction_format_is_read(tmp_path):
    path = written(tmp_path, SIF, "PathwayCommons.SIF")
    wiring = convert.from_table(path, columns=["source", "relation", "target"])
    assert edges(wiring) == [("A1BG", "A2M"), ("A1BG", "ABCC6"), ("TP53", "MDM2")]
    path.write_text(SIF + "A\tpp\tB\tC\n")
    with pytest.raises(ValueError, match="every row must have 3 cells, as `columns` names them"):
        convert.from_table(path, columns=["source", "relation", "target"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_export_of_a_spreadsheet_is_read(tmp_path, encoding):
    path = written(tmp_path, EXCEL, "Mappe1.CSV", encoding)
    wiring = convert.from_table(path, source="Gen", target="Pfad", weight="Gewicht")
    assert edges(wiring) == [("TP53", "Reparatur"), ("MYC", "Wachstum")]
    assert wiring.weight.tolist() == [0.75, -1.5]


def test_edge_list_of_a_collection_is_read_once_its_comments_are_declared(tmp_path):
    path = written(tmp_path, SNAP, "wiki-Vote.txt")
    with pytest.raises(ValueError, match="pass comment='#'"):
        convert.from_table(path, columns=["source", "target"])
    wiring = convert.from_table(path, columns=["source", "target"], comment="#")
    assert edges(wiring) == [(30, 1412), (3, 28)]


def test_gene_list_orders_the_inputs(tmp_path):
    genes = convert.read_names(written(tmp_path, "MYC\r\nTP53\r\nAKT1\r\n", "genes.txt"))
    path = written(tmp_path, EXCEL, "e.csv")
    wiring = convert.from_table(path, source="Gen", target="Pfad", in_names=genes)
    assert wiring.in_names == ["MYC", "TP53", "AKT1"]
    layer = el.EdgeLinear.from_wiring(wiring)
    assert layer(torch.ones(2, 3)).shape == (2, 2)


# The command line


@pytest.fixture
def compared(monkeypatch, capsys):
    monkeypatch.setattr(measure, "_MIN_ROUNDS", 2)
    monkeypatch.setattr(measure, "_SECONDS", 0.0)

    def compare(*arguments):
        assert main(["compare", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return compare


TABLE = "source;target;weight\na;x;0,5\nb;x;1\nb;y;2\n"


@pytest.mark.parametrize("name", ["e.csv", "e.CSV", "e.txt", "e.tab", "e.csv.GZ", "e.txt.gz"])
def test_compare_reads_what_from_table_reads(tmp_path, compared, name):
    packed = gzip.compress(TABLE.encode()) if "gz" in name.lower() else TABLE.encode()
    (tmp_path / name).write_bytes(packed)
    record = compared(tmp_path / name)
    assert (record["in_features"], record["out_features"], record["num_edges"]) == (2, 2, 3)


def test_compare_takes_the_options_of_text(tmp_path, compared):
    path = written(tmp_path, "! by hand\na | x | 1,5\nb|y|\n", "e.txt")
    options = ["--sep", "|", "--columns", "source,target,weight", "--comment", "!", "--strip"]
    record = compared(path, *options, "--decimal", ",", "--no-weight")
    assert (record["in_features"], record["num_edges"]) == (2, 2)


def test_compare_reads_parquet(tmp_path, compared):
    pytest.importorskip("pyarrow")
    import pandas as pd

    frame = pd.DataFrame({"source": [4, 7], "target": [1, 1]})
    frame.to_parquet(tmp_path / "e.parquet")
    assert compared(tmp_path / "e.parquet")["num_edges"] == 2


@pytest.mark.parametrize("name", ["m.mtx", "m.MTX", "m.mtx.gz", "m.mtx.GZ"])
def test_compare_reads_packed_matrices(tmp_path, compared, name):
    matrix = scipy.sparse.random_array(
        (9, 5), density=0.3, format="coo", rng=np.random.default_rng(0)
    )
    scipy.io.mmwrite(tmp_path / "plain.mtx", matrix)
    text = (tmp_path / "plain.mtx").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(text) if "gz" in name.lower() else text)
    record = compared(tmp_path / name)
    assert (record["in_features"], record["num_edges"]) == (9, matrix.nnz)
