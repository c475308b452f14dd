from importlib.util import find_spec

import pytest
import torch
from hypothesis import settings

# Files that import what an install of the extra `test` brings. The tests of a GPU run without one.
NEEDED = {
    "neat": ["convert/genomes.py", "convert/test_neat.py", "convert/test_neat_recurrent.py"],
    "expecttest": ["test_torch_suites.py"],
}
MISSING = [package for package in NEEDED if find_spec(package) is None]
collect_ignore = [path for package in MISSING for path in NEEDED[package]]


def pytest_report_header():
    return [f"left out, as {name} is not installed: {', '.join(NEEDED[name])}" for name in MISSING]


# Examples take as long as the machine makes them; what they draw does not change from run to run.
settings.register_profile("edgelinear", deadline=None, derandomize=True)
settings.load_profile("edgelinear")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def few_rounds(monkeypatch):
    """Let `compare` measure as little as it can: what the times are does not matter."""
    from edgelinear.comparison import measure

    monkeypatch.setattr(measure, "_MIN_ROUNDS", 2)
    monkeypatch.setattr(measure, "_SECONDS", 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.hookimpl(tryfirst=True)  # before `-m` reads the marks
def pytest_collection_modifyitems(items):
    has_gpu = torch.cuda.is_available()
    has_mkl = torch.backends.mkl.is_available()
    for item in items:
        if item.get_closest_marker("cuda") and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        elif has_gpu and item.path.name == "test_triton.py":  # its tensors are then on the GPU
            item.add_marker(pytest.mark.cuda)
        if not has_mkl and "torch_csr" in item.name.partition("[")[2]:  # as a parameter
            item.add_marker(pytest.mark.skip(reason="torch's CSR kernels need MKL on a CPU"))
