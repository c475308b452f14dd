"""The synapses of the worm: what they hold, and that they are what their source says."""

import gzip
import hashlib
from importlib import resources

import pytest

from edgelinear.data import worm
from edgelinear.data.regenerate import to_tsv_gz, worm_synapses


def test_neurons_and_muscles_are_those_of_a_hermaphrodite():
    chemical, electrical = worm(), worm("electrical")
    assert (chemical.topology.num_edges, electrical.topology.num_edges) == (4681, 2698)
    cells = {*chemical.in_names, *chemical.out_names, *electrical.in_names, *electrical.out_names}
    assert len(cells) == 448
    assert len([name for name in cells if name.isupper()]) == 300  # of 302: CAN have no synapses
    assert {"AVAL", "AVAR", "DD06", "VD13", "HSNL", "vm2pL", "dBWML24"} <= cells
    assert min(chemical.weight) >= 1


@pytest.mark.parametrize("kind", ["chemical", "electrical"])
def test_shipped_worm_is_what_its_readme_and_writer_say(kind):
    folder = resources.files("edgelinear") / "data"
    packed = (folder / f"worm_{kind}.tsv.gz").read_bytes()
    text = gzip.decompress(packed)
    assert hashlib.sha256(text).hexdigest() in (folder / "README.md").read_text()
    header, *lines = (tuple(line.split("\t")) for line in text.decode().splitlines())
    assert header == ("source", "target", "weight") and lines == sorted(set(lines))
    assert gzip.decompress(to_tsv_gz(lines, header)) == text
    assert packed[4:8] == b"\0\0\0\0"  # no time in the header


def test_synapses_are_read_by_their_kind():
    lines = ["Source,Target,Weight,Type\n", "B , A ,2,chemical\n", "A,B,1,electrical\n"]
    assert worm_synapses(lines, "chemical") == [("B", "A", "2")]
    assert worm_synapses(lines, "electrical") == [("A", "B", "1")]
    with pytest.raises(ValueError, match="line 2 must have 4 columns, got 3"):
        worm_synapses(["a,b,c,d\n", "a,b,c\n"], "chemical")


def test_kind_of_synapses_that_is_none_is_refused():
    with pytest.raises(ValueError, match='"chemical" or "electrical", got \'gap\''):
        worm("gap")
