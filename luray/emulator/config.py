"""The configuration of an emulator: a TOML file of its own, or made of a run file."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from luray.core.config import Config, CpuPrecision
from luray.engine.blending import Taper
from luray.model.operating_point import OperatingPoint
from luray.storage.places import OptionalPlace, Place

Edge = Literal["closed", "product", "observed"]
"""Where the cells around a region come from, which its windows see.

closed: there are none, the region is the whole run grid or surrounded by ocean; product: a finished
product, year by year; observed: the map of the start, which is held.
"""


class EmulatorConfig(Config):
    """Configuration of an emulator: its cube, model, region and start.

    For maps that equal a product's, everything here is as in its run file.
    """

    cube: Place
    """The predictor cube of the run."""
    model: Place
    """Folder of the forward model."""
    start: int
    """Year of the observed map that the emulator starts from: time 0."""
    end: int | None = None
    """Last year that may be predicted; by default the last that all forcing of the cube has.

    A later one is a promise to set the forcing of the years after that.
    """
    region: tuple[float, float, float, float] | None = None
    """West, south, east and north in degrees, edges of cells; by default the whole run grid."""
    edge: Edge = "closed"
    """See `Edge`."""
    product: OptionalPlace = ""
    """The finished product that `edge = "product"` reads."""
    scenario: str = ""
    """Scenario that is read where the cube has several; it also names the stream of a member."""
    member: int | None = Field(None, ge=0)
    """The member of an ensemble whose classes are drawn; without it the likeliest are taken."""
    seed: int = Field(0, ge=0)
    """Seed of the members' draws."""
    operating_point: OperatingPoint = "cautious"
    window: int = 456
    """Cells along a side of a model window."""
    stride: int = 400
    """Cells between two windows."""
    taper: Taper = "linear"
    """How overlapping windows are averaged."""
    demand_strength: float = Field(0.0, ge=0, le=1)
    """How far the coarse change is imposed on the map."""
    precision: CpuPrecision = "float32"
    """Of the model; bfloat16 needs a CPU with AVX512-BF16 or AMX."""
    batch: int = Field(2, ge=1)
    """Windows of a forward pass; no bit depends on it."""
    threads: int = Field(1, ge=1)
    """CPU threads of a step; no bit depends on it."""

    def model_post_init(self, _: object) -> None:
        """Raise ValueError for settings that do not go together."""
        if (self.edge == "product") != bool(self.product):
            raise ValueError(
                f"edge is {self.edge!r} and product is {self.product!r}: a product is given for "
                'edge = "product" and for no other; correct one of them'
            )
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"end is {self.end}, expected a year after start = {self.start}; correct it"
            )


def read_config(file: str | Path) -> EmulatorConfig:
    """Read and check the TOML file of an emulator.

    Raises
    ------
    ValueError
        Naming the file and, for each fault, the key, what is wrong, and what to do.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(file)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such file; an emulator's file has the keys of EmulatorConfig: cube, model "
            "and start at least"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML in UTF-8: {error}; correct the file") from None
    if isinstance(tables.get("region"), list):
        tables["region"] = tuple(tables["region"])  # TOML has no tuples
    try:
        return EmulatorConfig.model_validate(tables)
    except ValidationError as error:
        keys = ", ".join(EmulatorConfig.model_fields)
        lines = [f"{path}: expected keys are {keys}"]
        for fault in error.errors():
            key = ".".join(map(str, fault["loc"])) or "file"
            lines.append(f"  {key}: {fault['msg']}, got {fault['input']!r}; correct or remove it")
        raise ValueError("\n".join(lines)) from None
