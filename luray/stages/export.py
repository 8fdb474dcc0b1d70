"""The stage `export`: a finished product in the layout that a model or a map tool reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import luray
from luray.catalog.finished import read_finished
from luray.catalog.product_maps import product_maps
from luray.core.legend import Legend
from luray.core.progress import NamedProgress, no_named_progress
from luray.cube.cube import Cube
from luray.export.class_maps import write_cogs, write_netcdf
from luray.export.crosswalk import crosswalk_text
from luray.export.ctsm import write_ctsm
from luray.export.ecland import write_ecland
from luray.export.fates import write_fates
from luray.export.folder import ExportFolder
from luray.export.job import ExportJob, Split
from luray.export.leaf_area_maps import LeafAreaMaps
from luray.export.lpj_guess import write_lpj_guess
from luray.export.luh2_files import write_luh2
from luray.export.selection import parse_bounds, parse_years, region_of
from luray.export.value_maps import write_cf_lai, write_packed
from luray.product.coarse_cells import DEFAULT_STEP
from luray.product.product_maps import MapSeries
from luray.stages.config import RunConfig
from luray.storage.places import place_of, public
from luray.storage.receipts import fingerprint_of


def _write_netcdf(job: ExportJob) -> None:
    """Write maps of classes or of values as NetCDF."""
    if job.maps.product.legend.scale is None:
        write_netcdf(job)
    else:
        write_packed(job)


class Format(NamedTuple):
    """A layout that can be written."""

    write: Callable[[ExportJob], None]
    cells: Literal["coarse", "fine"]
    """Whether it has coarse cells, or the maps as they are."""
    of: tuple[Literal["classes", "values"], ...] = ("classes",)
    """Which maps it can hold."""
    crosswalk: str = ""
    """Name of the crosswalk that its files depend on."""
    takes_leaf_area: bool = False
    """Whether it has leaf area index beside classes."""


FORMATS: Mapping[str, Format] = {
    "luh2": Format(write_luh2, "coarse", crosswalk="luh2"),
    "fates": Format(write_fates, "coarse", crosswalk="luh2"),
    "ctsm-raw": Format(write_ctsm, "coarse", crosswalk="ctsm"),
    "lpj-guess": Format(write_lpj_guess, "coarse", crosswalk="lpj-guess"),
    "ecland": Format(write_ecland, "coarse", crosswalk="ecland", takes_leaf_area=True),
    "cog": Format(write_cogs, "fine", ("classes", "values")),
    "netcdf": Format(_write_netcdf, "fine", ("classes", "values")),
    "cf-lai": Format(write_cf_lai, "fine", ("values",)),
}


class Exported(NamedTuple):
    """Result of an export: what it has written."""

    place: str
    files: tuple[str, ...]
    """Their names, empty where all of them were there already."""


def export(
    source: RunConfig | str,
    form: str,
    *,
    region: str | None = None,
    years: str | None = None,
    grid: float | None = None,
    scenario: str | None = None,
    member: int | None = None,
    split: Split = "auto",
    leaf_area: str | None = None,
    output: str | None = None,
    progress: NamedProgress = no_named_progress,
) -> Exported:
    """Write a finished product in another layout.

    It can be interrupted at any time and repeated: what is finished is kept.

    Parameters
    ----------
    source : RunConfig or str
        A run, or the place of a product. Only a run has the cube, whose forcing splits classes into
        LUH2's states and whose climate zones choose plant and vegetation types.
    form : str
        One of `FORMATS`.
    region : str, optional
        `west,south,east,north` in degrees, edges of coarse cells; by default the whole product.
    years : str, optional
        Such as `1850-2100` or `1900,1950,2000`; by default all of the product.
    grid : float, optional
        Size of a coarse cell in degrees, 0.25 by default.
    scenario, member : optional
        Which of the product's sequences of maps; needed where it has several.
    split : {"auto", "forcing", "default"}, optional
        How classes are split into LUH2's states; see `luray.export.job.Split`.
    leaf_area : str, optional
        Place of a finished product of leaf area index, of the same region and years: ecLand's files
        then have that of low and of high vegetation.
    output : str, optional
        A folder: local, s3:// or gs://. By default `export/<format>` in the output of the run.
    progress : callable, optional
        Called with what is done, all there is to do, and the name of the work.

    Raises
    ------
    ValueError
        For a product that is not finished, and for anything asked that does not go together.
    RuntimeError
        If a file does not read back as it should; it has not got its name then.
    """
    if form not in FORMATS:
        raise ValueError(f"--format {form!r}: expected one of {', '.join(FORMATS)}; correct it")
    is_run = isinstance(source, RunConfig)
    url = source.product if isinstance(source, RunConfig) else place_of(source).rstrip("/")
    if output is None and not is_run:
        raise ValueError("of a product, --output has to be named: a folder, s3:// or gs://")

    finished = read_finished(url)
    cube = Cube.open(source.cube) if isinstance(source, RunConfig) else None
    maps = product_maps(finished, cube).series(scenario=scenario, member=member)
    _require_kind(form, maps.product.legend)
    time = finished.time
    asked_years = parse_years(years, sorted({time.year(step) for step in finished.years}))
    asked_steps = tuple(step for step in finished.years if time.year(step) in asked_years)
    bounds = parse_bounds(region) if region is not None else None
    if FORMATS[form].cells == "fine":
        if grid is not None:
            raise ValueError(f"--format {form} has the maps as they are; leave out --grid {grid:g}")
        grid = finished.grid.step
    area = region_of(finished.grid, step=grid or DEFAULT_STEP, bounds=bounds)
    leaf_maps = None
    if leaf_area is not None:
        series = _leaf_area_series(leaf_area, form, asked_years, scenario=maps.scenario)
        leaf_maps = LeafAreaMaps.of(series, land=finished.grid, region=area, years=asked_years)

    if output is None:
        assert isinstance(source, RunConfig)
        output = source.path("export", form)
    request = _request(form, maps, area.coarse, asked_years, split)
    request["leaf_area"] = leaf_maps.maps.product.fingerprint if leaf_maps is not None else ""
    folder = ExportFolder(place_of(output), request)
    of_scenario = cube.of_scenario(maps.scenario) if cube is not None else None
    job = ExportJob(
        form,
        maps,
        area,
        asked_steps,
        folder,
        of_scenario,
        split,
        leaf_maps,
        progress,
        version=luray.__version__,
    )
    if folder.open():
        return Exported(folder.place, ())
    FORMATS[form].write(job)
    files = folder.finish(job.attributes(f"export as {form}"))
    return Exported(folder.place, tuple(files))


def _require_kind(form: str, legend: Legend) -> None:
    """Raise ValueError for a format that cannot hold the maps of a legend."""
    kind: Literal["classes", "values"] = "classes" if legend.scale is None else "values"
    if kind not in FORMATS[form].of:
        possible = [name for name, known in FORMATS.items() if kind in known.of]
        raise ValueError(
            f"--format {form} has {' and '.join(FORMATS[form].of)}, and the maps of "
            f"{legend.long_name} are {kind}; choose one of {', '.join(possible)}"
        )


def _leaf_area_series(place: str, form: str, years: Sequence[int], *, scenario: str) -> MapSeries:
    """Return the maps of leaf area index of a scenario.

    Raises ValueError for a format that has none, a place without a finished product, and one of
    another scenario in years that depend on it.
    """
    if not FORMATS[form].takes_leaf_area:
        possible = [name for name, known in FORMATS.items() if known.takes_leaf_area]
        raise ValueError(
            f"--format {form} has no leaf area index beside it; leave out --leaf-area, or choose "
            f"--format {', '.join(possible)}"
        )
    finished = read_finished(place_of(place).rstrip("/"))
    leaf_maps = product_maps(finished, None)
    if leaf_maps.scenarios:
        return leaf_maps.series(scenario=scenario)

    forecast = [
        finished.time.year(step)
        for step, origin in zip(finished.years, finished.origins, strict=True)
        if origin == "forecast"
    ]
    depending = sorted(set(forecast) & set(years))
    if leaf_maps.scenario != scenario and depending:
        raise ValueError(
            f"--leaf-area {public(finished.url)} is of the scenario {leaf_maps.scenario!r}, and "
            f"the classes are of {scenario!r}, which matters from {depending[0]} on; give a "
            "product of the same scenario, or choose earlier --years"
        )
    return leaf_maps.series()


def _request(
    form: str, maps: MapSeries, coarse: object, years: tuple[int, ...], split: Split
) -> dict[str, object]:
    """Everything that the files depend on, without places."""
    crosswalk = FORMATS[form].crosswalk
    return {
        "format": form,
        "luray": luray.__version__,
        "product": maps.product.fingerprint,
        "scenario": maps.scenario,
        "member": maps.member,
        "cells": str(coarse),
        "years": list(years),
        "split": split,
        "crosswalk": fingerprint_of(crosswalk_text(crosswalk)) if crosswalk else "",
    }
