"""Names that every docstring example and README block may use."""

import numpy as np
import pytest
import scipy
import torch
import torch.nn.functional as F
from torch import nn

import edgelinear as el


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(
        torch=torch, nn=nn, F=F, np=np, scipy=scipy, el=el, Topology=el.Topology
    )
    doctest_namespace["EdgeLinear"] = el.EdgeLinear
