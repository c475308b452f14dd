import pytest
import torch
from hypothesis import settings

# Examples take as long as the machine makes them; what they draw does not change from run to run.
settings.register_profile("edgelinear", deadline=None, derandomize=True)
settings.load_profile("edgelinear")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
