"""The configuration of an emulator that computes what a run computes."""

from luray.core.tiling import Tile
from luray.emulator.config import Edge, EmulatorConfig
from luray.stages.config import RunConfig


def emulator_config(
    run: RunConfig,
    *,
    region: tuple[float, float, float, float] | None = None,
    tile: tuple[int, int] | None = None,
    edge: Edge = "closed",
    scenario: str | None = None,
    member: int | None = None,
    end: int | None = None,
) -> EmulatorConfig:
    """Return the emulator of a run, or of a region of it, forward from its last observed year.

    Parameters
    ----------
    run : RunConfig
        A run whose cube is built and whose forward model is trained.
    region : tuple of float, optional
        West, south, east and north in degrees; by default the whole grid.
    tile : tuple of int, optional
        Row and column of a tile of the run, in place of a region.
    edge : {"closed", "product", "observed"}, optional
        What lies around the region; "product" reads the run's own, which is finished.
    scenario : str, optional
        One of the run's, the first unless given.
    member : int, optional
        Of the run's ensemble, where it has one.
    end : int, optional
        Last year, by default that of the product.

    Returns
    -------
    EmulatorConfig
        For `LandSurface.initialize`; `tomli_w.dumps(config.model_dump(exclude_none=True))` is its
        file.

    Raises
    ------
    ValueError
        For a tile or scenario that the run has not.

    Examples
    --------
    >>> from luray.sandbox.write import demo_run
    >>> from luray.stages.run_file import load_run
    >>> config = emulator_config(load_run(demo_run()), tile=(0, 0), edge="product")
    >>> config.start, config.end
    (2019, 2100)
    """
    tiling = run.inference_tiles
    if tile is not None:
        if region is not None or Tile(*tile) not in set(tiling.tiles()):
            raise ValueError(
                f"tile {tile} and region {region}: expected one of them, and a tile of the run "
                f"from (0, 0) to {tuple(max(tiling.tiles()))}; correct it"
            )
        grid = run.grid.grid
        row, col, height, width = tiling.tile_box(Tile(*tile))
        region = (
            grid.west + col * grid.step,
            grid.north - (row + height) * grid.step,
            grid.west + (col + width) * grid.step,
            grid.north - row * grid.step,
        )
    if scenario is not None and scenario not in run.scenario_names:
        raise ValueError(
            f"scenario {scenario!r}: expected one of {', '.join(run.scenario_names)}; correct it"
        )
    return EmulatorConfig(
        cube=run.cube,
        model=run.model_folder("forward"),
        start=run.inference.observed[1],
        end=run.inference.years[1] if end is None else end,
        region=region,
        edge=edge,
        product=run.product if edge == "product" else "",
        scenario=run.scenario_names[0] if scenario is None else scenario,
        member=member,
        seed=run.inference.seed,
        operating_point=run.inference.operating_point,
        window=tiling.window,
        stride=tiling.stride,
        taper=run.blending.taper,
        demand_strength=run.demand.strength,
        precision=run.inference.precision,
        batch=run.inference.batch,
        threads=run.inference.threads,
    )
