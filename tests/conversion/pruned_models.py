"""Pruned models, and what they compute, by hand."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

import edgelinear as el


def sparsify(model, example, **options):
    """Convert whatever can be converted, however fast it is, unless asked otherwise."""
    return el.sparsify(model, example, **({"when": "always", "progress": False} | options))


def mlp(sparsity=0.9, bias=True):
    """Return a model with dropout and batch statistics, pruned by hand but for its head."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(24, 32, bias=bias),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(32, 40, bias=bias),
        nn.Tanh(),
        nn.Linear(40, 3),
    )
    for layer in (model[0], model[4]):
        zeros(layer, sparsity)
    return model


@torch.no_grad()
def zeros(linear, sparsity):
    """Set the smallest weights to 0."""
    weight = linear.weight
    number = round(sparsity * weight.numel())
    if number:
        weight[weight.abs() <= weight.abs().flatten().kthvalue(number).values] = 0.0
    return linear


def masked(linear, sparsity):
    """Prune as torch does, with a mask."""
    return prune.l1_unstructured(linear, "weight", amount=sparsity)


def weight_of(linear):
    """Return the float64 weight that a layer of torch multiplies by."""
    if hasattr(linear, "weight_orig"):
        return (linear.weight_orig * linear.weight_mask).detach().double()
    return linear.weight.detach().double()


def evaluated(model, *example, **named):
    """Return what a copy of a model computes in float64, in evaluation, before it is touched."""
    for module in model.modules():
        for name in {"weight", "bias"} & {*vars(module)}:  # computed by a mask: not to be copied
            setattr(module, name, getattr(module, name).detach())
    twin = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        return twin(*(x.double() for x in example), **named)


def affine(linear, x):
    """Return what a layer of torch computes, in float64."""
    bias = None if linear.bias is None else linear.bias.detach().double()
    return F.linear(x.double(), weight_of(linear), bias)
