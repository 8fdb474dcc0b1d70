"""One forward pass through the trunk of a model, on a CPU or queued on a GPU.

Shapes: B windows of a batch; O outputs of the first layer, K classes; H W window.
"""

import numpy as np
import torch

from luray.core.types import F32
from luray.engine.trunk import Trunk


class ForwardPass:
    """A forward pass from the second layer on, with buffers of its own that are used again.

    On a CPU `start` computes. On a GPU it queues the copies there and back, from and into pinned
    memory, and the pass between them; the CPU goes on meanwhile, and `heads_BHWC` waits.

    Parameters
    ----------
    trunk : Trunk
        On `device`; in half precision on a GPU.
    shape : tuple of int
        (B, H, W, O) of the first layer.
    device : torch.device
        Where the trunk is.
    """

    def __init__(
        self, trunk: Trunk, shape: tuple[int, int, int, int], device: torch.device
    ) -> None:
        self._trunk = trunk
        self._device = device
        on_gpu = device.type != "cpu"
        if on_gpu:
            self._first = torch.zeros(shape, pin_memory=True)
        else:
            self._first = torch.from_numpy(np.zeros(shape, np.float32))  # NumPy asks for huge pages
        n_heads = trunk.head.out_channels
        self._heads = torch.empty((*shape[:3], n_heads), pin_memory=on_gpu)
        self._done = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        self.first_BHWO: F32 = self._first.numpy()
        """The first layer: to be written before `start`, and not again before `heads_BHWC`."""

    def start(self, n_windows: int) -> None:
        """Run the trunk on the first `n_windows`, at least 2 on a CPU and all elsewhere."""
        with torch.inference_mode():
            first_BOHW = self._first.permute(0, 3, 1, 2)
            if self._done is None:
                heads = self._trunk(first_BOHW[: max(2, n_windows)])
                self._heads = heads.permute(0, 2, 3, 1).contiguous()
                return
            heads = self._trunk(first_BOHW.to(self._device, non_blocking=True).half())
            self._heads.copy_(heads.float().permute(0, 2, 3, 1), non_blocking=True)
            self._done.record()

    def heads_BHWC(self) -> F32:
        """Return what the model gave for each window, (B, H, W, K + 1), once it is there."""
        if self._done is not None:
            self._done.synchronize()
        heads: F32 = self._heads.numpy()
        return heads
