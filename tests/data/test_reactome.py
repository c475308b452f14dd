"""The pathways of Reactome: what they hold, and that they are what their source says."""

import gzip
import hashlib
import io
from importlib import resources

import networkx as nx
import pytest

from edgelinear.data import reactome, reactome_hierarchy, reactome_titles
from edgelinear.data.regenerate import human_edges, to_tsv_gz


def test_pathways_form_a_hierarchy_without_cycles():
    wiring = reactome_hierarchy()
    src, dst = wiring.topology.edge_index.tolist()
    graph = nx.DiGraph(
        (wiring.in_names[s], wiring.out_names[t]) for s, t in zip(src, dst, strict=True)
    )
    assert nx.is_directed_acyclic_graph(graph)
    assert len(graph.edges) == wiring.topology.num_edges == 2769
    titles = reactome_titles()
    assert set(graph) <= set(titles)
    tops = {titles[pathway] for pathway, degree in graph.out_degree if degree == 0}
    assert {"Metabolism", "Immune System", "Signal Transduction", "DNA Repair"} <= tops


def test_most_pathways_of_proteins_stand_in_the_hierarchy():
    known = set(reactome_titles())
    assert set(reactome().out_names) <= known


def test_line_with_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="line 2 must have 6 columns, got 2"):
        human_edges(["P1\tR-HSA-1\turl\tname\tTAS\tHomo sapiens\n", "P2\tR-HSA-1\n"])


HEADER = ("source", "target")


def test_shipped_reactome_is_the_human_wiring():
    wiring = reactome()
    assert wiring.topology.num_edges == 46_939
    assert len(wiring.in_names) == 11_876 and len(wiring.out_names) == 2_233
    assert all(name.startswith("R-HSA-") for name in wiring.out_names)


def test_shipped_reactome_is_what_its_readme_and_writer_say():
    folder = resources.files("edgelinear") / "data"
    packed = (folder / "reactome.tsv.gz").read_bytes()
    text = gzip.decompress(packed)
    assert hashlib.sha256(text).hexdigest() in (folder / "README.md").read_text()
    header, *lines = text.decode().splitlines()
    assert header == "source\ttarget" and lines == sorted(set(lines))
    assert gzip.decompress(to_tsv_gz((tuple(line.split("\t")) for line in lines), HEADER)) == text
    assert packed[4:8] == b"\0\0\0\0"  # no time in the header


def test_human_edges_keeps_one_of_each_human_pair():
    lines = [
        "P2\tR-HSA-1\turl\tname\tTAS\tHomo sapiens\n",
        "P1\tR-HSA-1\turl\tname\tTAS\tHomo sapiens\n",
        "P1\tR-HSA-1\turl\tname\tIEA\tHomo sapiens\n",
        "P1\tR-MMU-1\turl\tname\tTAS\tMus musculus\n",
    ]
    assert human_edges(lines) == [("P1", "R-HSA-1"), ("P2", "R-HSA-1")]


def test_written_table_is_the_same_bytes_each_time():
    first = to_tsv_gz([("P1", "R-HSA-1")], HEADER)
    assert to_tsv_gz([("P1", "R-HSA-1")], HEADER) == first
    assert first[4:8] == b"\0\0\0\0"  # no time in the header
    with gzip.open(io.BytesIO(first), "rt") as file:
        assert file.read() == "source\ttarget\nP1\tR-HSA-1\n"
