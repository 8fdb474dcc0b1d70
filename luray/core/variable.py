"""Variables: the input fields of a model and how it sees them."""

from dataclasses import dataclass
from typing import Literal

from luray.core.types import Role


@dataclass(frozen=True)
class Variable:
    """One input field: what it is, in which unit it is stored, and how the model sees it.

    The model sees a continuous variable as `f(x) / scale`, f being `transform`, and a categorical
    one as one-hot over `categories`. A missing value is seen as 0.

    Raises
    ------
    ValueError
        For categories, or shares of classes, that are to be interpolated.

    Examples
    --------
    >>> Variable("pop", "forcing", "1", "people", transform="log1p", scale=10.0).channels
    1
    >>> Variable("climate", "forcing", "1", "zone", categories=(1, 2, 3)).channels
    3
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
    """Published codes of the land-use classes whose share this is, or is part of.

    Empty for a variable that is no share of land use.
    """
    share_of: Literal["cell", "land"] = "cell"
    """The whole of that share: the native cell, or its land."""

    def __post_init__(self) -> None:
        if self.categories and self.resampling != "nearest":
            raise ValueError(
                f"variable {self.name}: categories cannot be interpolated; set resampling = "
                "'nearest'"
            )

        if self.classes and self.resampling != "nearest":
            raise ValueError(
                f"variable {self.name}: shares of classes belong to a whole coarse cell; set "
                "resampling = 'nearest'"
            )

    @property
    def channels(self) -> int:
        """Channels of the model that one time level of this variable takes."""
        return len(self.categories) or 1
