"""Large weights lie in huge pages, however they come to be."""

import copy
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import edgelinear as el
from edgelinear.backends import cpp, library

PAGE = 1 << 21
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def share(tensor: torch.Tensor) -> float:
    """Return the share of huge pages in the mappings that hold the whole pages of a tensor."""
    at = tensor.data_ptr()
    first, end = -(-at // PAGE) * PAGE, (at + tensor.nbytes) // PAGE * PAGE
    sizes = {"Rss:": 0, "AnonHugePages:": 0}
    inside = False
    for name, value, *_ in map(str.split, Path("/proc/self/smaps").read_text().splitlines()):
        if not name.endswith(":"):
            low, high = (int(address, 16) for address in name.split("-"))
            inside = low < end and first < high
        elif inside and name in sizes:
            sizes[name] += int(value)
    return sizes["AnonHugePages:"] / sizes["Rss:"]


def unpickled(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def loaded(layer, **options):
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(state, **options)
    return layer


def rewired(layer):
    el.rewire(layer, keep=torch.arange(layer.num_edges) % 8 > 0)
    return layer


WAYS = {
    "made": lambda layer: layer,
    "loaded": loaded,
    "assigned": lambda layer: loaded(layer, assign=True),
    "converted": lambda layer: layer.double(),
    "copied": copy.deepcopy,
    "unpickled": unpickled,
    "rewired": rewired,
}


def large_layer(**options):
    generator = torch.Generator().manual_seed(0)
    topology = el.generators.erdos_renyi(3000, 3000, num_edges=3_000_000, generator=generator)
    return el.EdgeLinear.from_topology(topology, **options)


def print_shares():
    """Print the share of huge pages of a weight that came to be in each way, and of others."""
    layer = large_layer()
    shares = {name: share(way(copy.deepcopy(layer)).weight) for name, way in WAYS.items()}
    shares["probe"] = share(cpp.kernels().empty(layer.weight, 4 * PAGE).fill_(1.0))
    shares["other backend"] = share(large_layer(backend="torch_csr").weight)
    print(json.dumps(shares))


@pytest.fixture(scope="module")
def shares():
    if type(cpp.kernels()) is str:
        pytest.skip(str(cpp.kernels()))
    if not SETTING.exists() or "[madvise]" not in SETTING.read_text():
        pytest.skip("this system does not give huge pages to those who ask, and to them alone")
    # Each tensor has a mapping of its own then: none lies where one in huge pages was before.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    output = subprocess.run([sys.executable, __file__], env=env, capture_output=True, check=True)
    shares = json.loads(output.stdout)
    if shares["probe"] < 0.5:
        pytest.skip("this system gave no huge pages for new memory")
    return shares


@pytest.mark.parametrize("way", WAYS)
def test_weight_is_in_huge_pages(shares, way):
    assert shares[way] > 0.5


def test_weight_of_another_backend_is_left_where_it_is(shares):
    assert shares["other backend"] == 0.0


def test_weight_keeps_its_place_and_values():
    layer = large_layer()
    values, at = torch.rand(layer.num_edges), layer.weight.data_ptr()
    layer.set_weight(values)
    layer._place_topology()
    assert layer.weight.data_ptr() == at and torch.equal(layer.weight, values)


def test_weight_that_processes_share_stays_shared():
    layer = large_layer().share_memory()
    at = layer.weight.data_ptr()
    layer._place_topology()
    assert layer.weight.is_shared() and layer.weight.data_ptr() == at


class Moves(list):
    """The pages that kernels ask the system to move, in place of what asks it."""

    def __call__(self, address, size, written):
        self.append((address, size))


@pytest.fixture
def moves(monkeypatch, tmp_path):
    """Tell kernels that there are huge pages, and note what they move."""
    kernels = cpp.kernels()
    if type(kernels) is str:
        pytest.skip(kernels)
    if not Path("/proc/self/maps").exists():
        pytest.skip("huge pages are asked for on Linux alone")
    settings = tmp_path / "of this size", tmp_path / "of any"
    settings[1].write_text("always [madvise] never")
    monkeypatch.setattr(library, "_SETTINGS", settings)
    moves = Moves()
    monkeypatch.setattr(kernels, "_use_huge_pages", moves)
    return moves


@pytest.mark.parametrize(
    "of_this_size, of_any, expected",
    [
        (None, "[always] madvise never", 1),
        (None, "always [madvise] never", 1),
        (None, "always madvise [never]", 0),
        ("always [inherit] madvise never", "always [madvise] never", 1),
        ("always [inherit] madvise never", "always madvise [never]", 0),
        ("always inherit [madvise] never", "always madvise [never]", 1),
        ("always inherit madvise [never]", "[always] madvise never", 0),
        (None, None, 0),
    ],
)
def test_settings_of_the_system_are_followed(moves, of_this_size, of_any, expected):
    for path, text in zip(library._SETTINGS, (of_this_size, of_any), strict=True):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
    cpp.move_to_huge_pages(torch.ones(4 * PAGE))
    assert len(moves) == expected


def test_part_of_a_storage_is_moved_alone(moves):
    whole = torch.ones(8 * PAGE)
    part = whole[1000 : 5 * PAGE]
    cpp.move_to_huge_pages(part)
    assert moves == [(whole.data_ptr() + 4000, part.nbytes)]


def of_file(tmp_path):
    torch.save(torch.ones(4 * PAGE), tmp_path / "weight.pt")
    return torch.load(tmp_path / "weight.pt", mmap=True)


def freed(tmp_path):
    weight = torch.ones(4 * PAGE)
    weight.untyped_storage().resize_(0)
    return weight


@pytest.mark.parametrize(
    "make",
    [
        of_file,
        freed,
        lambda _: torch.ones(4 * PAGE).share_memory_(),
        lambda _: torch.ones(1).expand(4 * PAGE),
        lambda _: torch.ones(8 * PAGE)[::2],
        lambda _: torch.ones(1000),
    ],
    ids=["of a file", "freed", "shared", "expanded", "strided", "small"],
)
def test_other_memory_stays_as_it_is(moves, tmp_path, make):
    cpp.move_to_huge_pages(make(tmp_path))
    assert moves == []


if __name__ == "__main__":
    print_shares()
