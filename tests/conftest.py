import pytest
import torch
from hypothesis import settings

# Examples take as long as the machine makes them; what they draw does not change from run to run.
settings.register_profile("edgelinear", deadline=None, derandomize=True)
settings.load_profile("edgelinear")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)  # before `-m` reads the marks
def pytest_collection_modifyitems(items):
    has_gpu = torch.cuda.is_available()
    for item in items:
        if "cuda" in item.keywords and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        elif has_gpu and item.path.name == "test_triton.py":  # its tensors are then on the GPU
            item.add_marker(pytest.mark.cuda)
