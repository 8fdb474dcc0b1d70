"""One forward pass through the trunk of a model on a CPU.

Shapes: B windows of a batch; O outputs of the first layer, K classes; H W window.
"""

import numpy as np
import torch

from luray.core.types import F32
from luray.engine.trunk import Trunk


class ForwardPass:
    """A forward pass from the second layer on, with a buffer that is used again.

    Parameters
    ----------
    trunk : Trunk
        The layers.
    shape : tuple of int
        (B, H, W, O) of the first layer, at most.
    """

    def __init__(self, trunk: Trunk, shape: tuple[int, int, int, int]) -> None:
        self._trunk = trunk
        self.first_BHWO: F32 = np.zeros(shape, np.float32)  # NumPy asks for huge pages
        """The first layer: to be written before the pass is run."""

    def run(self, n_windows: int) -> F32:
        """Return what the model gives for the first `n_windows`, (B, H, W, K + 1).

        At least two are computed: a batch of one has other bits.
        """
        with torch.inference_mode():
            first_BHWO = torch.from_numpy(self.first_BHWO[: max(2, n_windows)])
            heads_BCHW = self._trunk(first_BHWO.permute(0, 3, 1, 2))
            heads: F32 = heads_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
            return heads
