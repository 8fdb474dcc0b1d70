"""What the model sees: the channels of its input and their order.

Shapes: B batch, C input channels, K classes, L level channels of the forcing, D of them continuous,
S static channels, H W window. Channels: prior one-hot (K), land (1), forcing levels (L), their
changes since the prior year (D), the same relative to the larger of both levels (D), static (S).

Training puts them together, `assemble`; inference never does, see `stem`.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luray.core.compiled import compiled
from luray.core.legend import OUTSIDE
from luray.core.types import F32
from luray.core.variable import Variable

UNKNOWN = 254
"""Prior class of a land cell whose class is hidden from the model."""

CHANGE_SCALE = 0.05
"""Change of a scaled forcing in one year that the model sees as a half; it sees no change, however
large, as 1.
"""

NOTHING = 1e-6
"""Added to the level that a relative change is divided by."""


def scaled(values: NDArray[Any], variable: Variable) -> F32:
    """One variable as the model sees it, shape (channels, lat, lon) for values (lat, lon); missing
    (NaN) is 0.
    """
    if variable.categories:
        one_hot: F32 = (
            values == np.array(variable.categories, values.dtype)[:, None, None]
        ).astype(np.float32)
        return one_hot
    seen: F32 = values.astype(np.float32)
    if variable.transform == "log1p":
        np.log1p(seen, out=seen)
    seen /= np.float32(variable.scale)
    seen[np.isnan(seen)] = 0
    return seen[None]


def category(codes: NDArray[Any], variable: Variable) -> NDArray[np.int16]:
    """Position of codes among the categories of a variable, same shape; -1 for none of them."""
    found = np.full(codes.shape, -1, np.int16)
    _find(codes.reshape(-1), np.array(variable.categories, codes.dtype), found.reshape(-1))
    return found


@compiled
def _find(codes: NDArray[Any], categories: NDArray[Any], found: NDArray[np.int16]) -> None:
    for i in range(len(codes)):
        for n in range(len(categories)):
            if codes[i] == categories[n]:
                found[i] = n
                break


@dataclass(frozen=True)
class Features:
    """Layout of the input for K classes and the given forcing and static variables."""

    n_classes: int
    forcing: tuple[Variable, ...]
    static: tuple[Variable, ...]

    @cached_property
    def changing(self) -> NDArray[np.int64]:
        """Level channels of continuous forcing, which also enter as change since the prior year."""
        kinds = [not v.categories for v in self.forcing for _ in range(v.channels)]
        return np.flatnonzero(kinds)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every input channel, in order."""

        def levels(variables: tuple[Variable, ...]) -> list[str]:
            return [
                f"{v.name}={c}" if v.categories else v.name
                for v in variables
                for c in v.categories or (0,)
            ]

        forcing = levels(self.forcing)
        prior = [f"prior={k}" for k in range(self.n_classes)]
        changes = (
            f"{kind} of {forcing[i]}"
            for kind in ("change", "relative change")
            for i in self.changing
        )
        return (*prior, "land", *forcing, *changes, *levels(self.static))

    @property
    def n_channels(self) -> int:
        """C, channels of the model input."""
        return len(self.names)


def changes(now: Any, prior: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Change from the prior level, and change relative to the larger of both; arrays of `xp`, same
    shape.

    The change x is seen as x / (|x| + `CHANGE_SCALE`), between -1 and 1: a model is not led astray
    by changes larger than those that it was trained on. Of a share that falls the relative change
    is the part that is lost, of one that rises the part that is new.
    """
    change = now - prior
    return (
        change / (xp.abs(change) + CHANGE_SCALE),
        change / (xp.maximum(xp.abs(now), xp.abs(prior)) + NOTHING),
    )


def assemble(prior_BHW: Tensor, context_BCHW: Tensor, *, n_classes: int) -> Tensor:
    """Model input (B, C, H, W) from the prior class indices (uint8; `UNKNOWN`, `OUTSIDE` allowed)
    and the context.
    """
    table = torch.zeros(256, n_classes + 1)
    table[:n_classes, :n_classes] = torch.eye(n_classes)
    table[:n_classes, n_classes] = table[UNKNOWN, n_classes] = 1.0
    table[OUTSIDE] = 0.0
    prior_BCHW = table.to(context_BCHW.device)[prior_BHW.long()].permute(0, 3, 1, 2)
    return torch.cat([prior_BCHW, context_BCHW], dim=1).contiguous(
        memory_format=torch.channels_last
    )
