"""Edges with rules: weights that are tied, of one sign, or frozen.

Each rule is a parametrization of `torch.nn.utils.parametrize`: the optimizer sees what may move,
and `layer.weight` is what follows from it. So no optimizer, checkpoint or assignment can break the
rule, and kernels do not know of it. Make rules before the optimizer, as parameters change their
shape, and before `fully_shard`.

Set weights by `layer.set_weight(values)`, which is refused where it breaks a rule: what is written
into `layer.weight` in place is lost, as it is computed anew at each use.
"""

from edgelinear.rules.edges import fix_nonnegative, fix_signs, freeze, tie
from edgelinear.rules.scaling import balance, scale_spectral_radius

__all__ = ["balance", "fix_nonnegative", "fix_signs", "freeze", "scale_spectral_radius", "tie"]
