"""A convolution over cells that were repeated 2 x 2, in fewer multiplications.

The trick
---------
A decoder block doubles the resolution of the features below it by repeating each cell to 2 x 2,
puts them beside the skip, and convolves both. By linearity that is the convolution of the skip plus
the convolution of the repeated features. And a 3 x 3 kernel over cells that are repeated twice sees
no more than 2 x 2 different ones:

    repeated row     a a | b b | c c        kernel  w0 w1 w2
    on the left b    a  [a | b  b]  ->      w0 a + (w1 + w2) b
    on the right b      [b  b | c]  ->      (w0 + w1) b + w2 c

So there are four 2 x 2 kernels, one for each of the four cells that a cell is repeated to
(`CORNERS`), whose taps are sums. They run on the small features: 4 taps a cell for 9, and nothing
is upsampled or concatenated.

Shapes: B batch; O outputs, D features of the block below; H W, at the finer resolution.
"""

import torch
from torch import Tensor

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of a cell among the four that one cell is repeated to."""


def corner_kernels(kernel_OD33: Tensor) -> Tensor:
    """Return the four kernels of a 3 x 3 kernel, corner after corner, (4 O, D, 2, 2)."""
    kernels = [_fold(_fold(kernel_OD33, 2, row), 3, col) for row, col in CORNERS]
    return torch.cat(kernels)


def _fold(kernel: Tensor, dim: int, place: int) -> Tensor:
    """Fold three taps along an axis into two, for the first or the second of two repeated cells.

    The first sees the cell before and then its own twice; the second its own twice, and the next.
    """
    w0, w1, w2 = kernel.unbind(dim)
    taps = [w0, w1 + w2] if place == 0 else [w0 + w1, w2]
    return torch.stack(taps, dim)


def add_corners(fine_BOHW: Tensor, corners: Tensor) -> None:
    """Add what `corner_kernels` give of the small features to the finer cells, in place.

    Parameters
    ----------
    fine_BOHW : Tensor
        The convolution of the skip.
    corners : Tensor, shape (B, 4 O, H / 2 + 1, W / 2 + 1)
        Convolution of the features below with a cell of padding on all sides: a row and a column
        more than the features have. The corner says which of them it does not see.
    """
    height = fine_BOHW.shape[2] // 2
    width = fine_BOHW.shape[3] // 2
    for (row, col), corner in zip(CORNERS, corners.chunk(4, dim=1), strict=True):
        fine_BOHW[:, :, row::2, col::2] += corner[:, :, row : row + height, col : col + width]


class AddCorners(torch.autograd.Function):
    """`add_corners` with its gradient.

    torch's own gradient of an addition to every other cell copies the whole tensor four times.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, fine_BOHW: Tensor, corners: Tensor
    ) -> Tensor:
        """Return the sum, in the memory of the first."""
        ctx.mark_dirty(fine_BOHW)
        ctx.shape = corners.shape  # type: ignore[attr-defined]
        add_corners(fine_BOHW, corners)
        return fine_BOHW

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of both."""
        [gradient_BOHW] = gradients
        of_corners = gradient_BOHW.new_zeros(ctx.shape).contiguous(  # type: ignore[attr-defined]
            memory_format=torch.channels_last
        )
        height = gradient_BOHW.shape[2] // 2
        width = gradient_BOHW.shape[3] // 2
        for (row, col), of_corner in zip(CORNERS, of_corners.chunk(4, dim=1), strict=True):
            of_corner[:, :, row : row + height, col : col + width] = gradient_BOHW[
                :, :, row::2, col::2
            ]
        return gradient_BOHW, of_corners
