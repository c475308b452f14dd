"""`EdgeParallel`: how `parallelize_module` shares one layer among processes."""

from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Placement, Replicate
from torch.distributed.tensor.parallel import ParallelStyle

from edgelinear.parallel.layer import shard


class EdgeParallel(ParallelStyle):
    def __init__(
        self,
        *,
        input_layouts: Placement = Replicate(),
        output_layouts: Placement = Replicate(),
        use_local_output: bool = True,
        halo: Any = "auto",
    ) -> None:
        super().__init__()
        self.layouts = input_layouts, output_layouts
        self.use_local_output = use_local_output
        self.halo = halo

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return shard(module, device_mesh, self.layouts, self.use_local_output)
