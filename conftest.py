"""Names that every docstring example and README block may use."""

import importlib.util

import numpy as np
import pytest
import scipy
import torch
import torch.nn.functional as F
from torch import nn

import edgelinear as el

# Modules that cannot be imported, or whose examples cannot run, without a package.
collect_ignore = []
if importlib.util.find_spec("triton") is None:
    collect_ignore.append("edgelinear/backends/triton_kernels.py")
if importlib.util.find_spec("anywidget") is None:
    collect_ignore += ["edgelinear/viewer/opening.py", "edgelinear/viewer/widget.py"]


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(
        torch=torch, nn=nn, F=F, np=np, scipy=scipy, el=el, Topology=el.Topology
    )
    doctest_namespace["EdgeLinear"] = el.EdgeLinear
    doctest_namespace["EdgeNetwork"] = el.EdgeNetwork
    doctest_namespace["EdgeRNN"] = el.EdgeRNN
