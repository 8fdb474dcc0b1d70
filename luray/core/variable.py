"""TO BE WRITTEN."""

from dataclasses import dataclass
from typing import Literal

from luray.core.types import Role


@dataclass(frozen=True)
class Variable:
    """One input field: what it is, in which unit it is stored, and how the model sees it.

    The model sees a continuous variable as `f(x) / scale`, f being `transform`, and a categorical
    one as one-hot over `categories`. A missing value is seen as 0.
    """

    name: str
    role: Role
    units: str
    long_name: str
    dtype: str = "float32"
    resampling: Literal["nearest", "bilinear"] = "nearest"
    transform: Literal["linear", "log1p"] = "linear"
    scale: float = 1.0
    categories: tuple[int, ...] = ()
    """Values of a categorical variable; empty for a continuous one."""
    classes: tuple[int, ...] = ()
    """Published codes of the group of land-use classes whose share this is, or is part of; empty
    for what is none.
    """
    share_of: Literal["cell", "land"] = "cell"
    """What that share is of: the whole native cell, or its land."""

    def __post_init__(self) -> None:
        if self.categories and self.resampling != "nearest":
            raise ValueError(
                f"variable {self.name}: categories cannot be interpolated; set resampling = "
                "'nearest'"
            )

    @property
    def channels(self) -> int:
        """Model channels of one level of this variable."""
        return len(self.categories) or 1
