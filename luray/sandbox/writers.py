"""Writes the simulated world in the file formats of the data sets that luray reads.

Names, dimensions, types, attributes and quirks are those of the published files; only the extent is
smaller.
"""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.time_steps import DAYS_OF_MONTHS
from luray.core.types import F32, Bool
from luray.sandbox.climate_zones import koeppen
from luray.sandbox.files import NOTICE, netcdf, replacing, write_copy, write_geotiff
from luray.sandbox.land_cover import LEGEND as LAND_COVER
from luray.sandbox.land_cover import land_cover
from luray.sandbox.leaf_area import NOISE, NOISE_FLOOR, SPIN_UP, leaf_grid, published
from luray.sandbox.monthly_climate import monthly_climate
from luray.sandbox.noise import fractal
from luray.sandbox.products import MISSING, STATES, ice_and_water, luh2_states, population
from luray.sandbox.refinement import refined
from luray.sandbox.storyline import FIRST_YEAR, YEARS, pathway_number
from luray.sandbox.terrain import slope_and_aspect
from luray.sandbox.world import COARSE, World

IAM = {
    "ssp119": "IMAGE",
    "ssp126": "IMAGE",
    "ssp245": "MESSAGE",
    "ssp370": "AIM",
    "ssp434": "GCAM",
    "ssp460": "GCAM",
    "ssp534": "MAGPIE",
    "ssp585": "MAGPIE",
}
"""The model that made each scenario of LUH2 v2f, part of the file's name."""

LUH2_NAMES = {
    "primf": "forested primary land",
    "primn": "non-forested primary land",
    "secdf": "potentially forested secondary land",
    "secdn": "potentially non-forested secondary land",
    "pastr": "managed pasture",
    "range": "rangeland",
    "urban": "urban land",
    "c3ann": "C3 annual crops",
    "c3per": "C3 perennial crops",
    "c4ann": "C4 annual crops",
    "c4per": "C4 perennial crops",
    "c3nfx": "C3 nitrogen-fixing crops",
    "secma": "secondary mean age",
    "secmb": "secondary mean biomass carbon density",
}

SECONDARY_UNITS = {"secma": "years", "secmb": "kg C m-2"}
"""Units of the variables that are no share of the cell."""

PAST_PERIODS = {"1901_1930": -0.3, "1931_1960": 0.0, "1961_1990": 0.2, "1991_2020": 1.0}
"""Past climate periods, and their warming against the middle of the 20th century in K."""

FUTURE_PERIODS = {"2041_2070": 0.5, "2071_2099": 1.0}
"""Future climate periods, and how far of the warming of 2100 has come by then."""

WARMING_2100 = {"19": 1.3, "26": 1.6, "45": 2.6, "70": 3.6, "34": 2.2, "60": 3.0, "85": 4.6}
"""Warming against the middle of the 20th century by the forcing in a scenario's name, in K."""

SOIL_DEPTHS = (0.0071, 0.0279, 0.0623, 0.1189, 0.2122, 0.3661, 0.6198, 1.0380, 1.7276, 2.8646)
"""Depth of the nodes of the soil layers in metres: those of CLM and ELM."""

ELEMENTS = {
    "ELEVATION": ("m", "mean elevation"),
    "STDEV_ELEV": ("m", "standard deviation of elevation"),
    "SLOPE": ("degrees", "slope"),
    "ASPECT": ("degrees", "aspect, clockwise from north"),
    "SKY_VIEW_FACTOR": ("1", "sky view factor"),
    "TERRAIN_CONFIG": ("1", "terrain configuration factor"),
}

PNNL_FILL = np.float32(-9999)
"""Value of PNNL's files at sea."""

SEA_FLOOR_HEIGHT = "Sea floor height (above mean sea level) {bathymetric height}"
"""GEBCO's name for its variable in the vocabulary of SeaDataNet."""

FIRST_C3S = 2016
"""First year of land cover that C3S publishes; those before are of ESA CCI."""

LAI_SCALE = 1 / 6000
"""Value of a packed unit of leaf area index, in m2 m-2."""

LAI_FILL = np.uint16(65535)
"""Packed number of cells without leaf area index."""

FLAGS_OF_LAI = {
    "long_name": "retrieval flag",
    "flag_masks": np.array([0x01, 0x40, 0x80, 0x1000], np.uint32),
    "flag_meanings": "obs_is_fillvalue tip_untrusted obs_unusable obs_nosnow_only",
}
"""Attributes of the flags; the published ones have more."""

RELIEF_STREAM = 3
"""Number of the random stream of the relief's detail; see `world.TERRAIN_STREAM`."""


def write_luh2_history(world: World, directory: Path) -> None:
    """Write LUH2 v2h: states of 850-2015 as `years since 850-01-01`.

    The world begins in 1850; the years before repeat it.
    """
    years = np.maximum(np.arange(850, 2016), FIRST_YEAR) - FIRST_YEAR
    simulated = luh2_states(world, world.config.scenario[0])
    states = {name: values[years] for name, values in simulated.items()}
    _write_states(
        world,
        directory / "luh2/states.nc",
        states,
        epoch=850,
        misspelt="_fillValue",
        title="LUH2 v2h",
    )


def write_luh2_scenario(world: World, directory: Path, scenario: str) -> None:
    """Write LUH2 v2f: states of 2015-2100 of a scenario as `years since 2015-01-01`."""
    first = 2015 - FIRST_YEAR
    states = {name: values[first:] for name, values in luh2_states(world, scenario).items()}
    name = (
        "multiple-states_input4MIPs_landState_ScenarioMIP_"
        f"UofMD-{IAM[scenario]}-{scenario}-2-1-f_gn_2015-2100.nc"
    )
    _write_states(
        world,
        directory / "luh2" / name,
        states,
        epoch=2015,
        misspelt="_Fillvalue",
        title=f"LUH2 v2f {IAM[scenario]} {scenario}",
    )


def _write_states(
    world: World, path: Path, states: Mapping[str, F32], *, epoch: int, misspelt: str, title: str
) -> None:
    """Write states of shape (time, lat, lon).

    The fill attribute is misspelt as in the published files.
    """
    with netcdf(path, world.setting.grid, title=title) as out:
        time = np.arange(len(states["primf"]), dtype=np.float64)
        out.axis(
            "time",
            time,
            units=f"years since {epoch}-01-01 0:0:0",
            calendar="noleap",
            long_name="time",
            standard_name="time",
            axis="T",
            realtopology="linear",
        )
        for name, values in states.items():
            out.variable(
                name,
                ("time", "lat", "lon"),
                values,
                {
                    "missing_value": MISSING,
                    misspelt: MISSING,
                    "long_name": LUH2_NAMES[name],
                    "standard_name": "area_fraction" if name in STATES else "",
                    "cell_methods": "time:mean",
                    "units": SECONDARY_UNITS.get(name, "1"),
                },
            )


def write_luh2_static(world: World, directory: Path) -> None:
    """Write LUH2's static data: `icwtr` (share of ice and water) and `carea` (km2)."""
    grid = world.setting.grid
    area = np.broadcast_to(grid.cell_area[:, None] / 1e6, grid.shape)
    fields = {
        "icwtr": ("1", "ice/water fraction", ice_and_water(world)),
        "carea": ("km2", "area of grid cell", area),
    }
    path = directory / "luh2/staticData_quarterdeg.nc"
    with netcdf(path, grid, title="LUH2 static data") as out:
        for name, (units, long_name, values) in fields.items():
            about = {"long_name": long_name, "units": units, "missing_value": MISSING}
            out.variable(name, ("lat", "lon"), values.astype(np.float32), about)


def write_hilda(world: World, directory: Path, year: int) -> None:
    """Write HILDA+ v1 states of a year, with the flicker of published maps."""
    folder = directory / "hilda/hildap_vGLOB-1.0_geotiff_wgs84/hildap_GLOB-v1.0_lulc-states"
    name = f"hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif"
    write_geotiff(folder / name, world.published(year), world.config.grid)


def write_land_cover(world: World, directory: Path, year: int) -> None:
    """Write land cover of a year as ESA CCI (to 2015) and C3S publish it: 300 m, latitude falling.

    The world's cells of 0.01 degrees are read at the centres of those of 1/360 degree.
    """
    fine = world.config.grid
    grid = Grid(fine.north, fine.west, 1 / 360, fine.n_lat * 18 // 5, fine.n_lon * 18 // 5)
    rows = (2 * np.arange(grid.n_lat) + 1) * 5 // 36
    cols = (2 * np.arange(grid.n_lon) + 1) * 5 // 36
    codes = land_cover(world, year)[np.ix_(rows, cols)]
    flags = [(0, "no_data"), *((c.code, c.name) for c in LAND_COVER.classes)]
    colours = [land_class.colour for land_class in LAND_COVER.classes]

    is_cci = year < FIRST_C3S
    name = f"{'ESACCI' if is_cci else 'C3S'}-LC-L4-LCCS-Map-300m-P1Y-{year}-"
    name += "v2.0.7cds.nc" if is_cci else "v2.1.1.nc"
    with netcdf(directory / "cci_lc" / name, grid, title="Land Cover Map of ESA CCI") as out:
        days = (np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int)
        out.axis(
            "time",
            np.array([days], np.float64),
            units="days since 1970-01-01 00:00:00",
            calendar="gregorian",
            standard_name="time",
            axis="T",
        )
        out.variable(
            "lccs_class",
            ("time", "lat", "lon"),
            codes[None],
            {
                "standard_name": "land_cover_lccs",
                "long_name": "Land cover class defined in LCCS",
                "valid_min": np.uint8(1),
                "valid_max": np.uint8(220),
                "flag_values": np.array([code for code, _ in flags], np.uint8),
                "flag_meanings": " ".join(meaning for _, meaning in flags),
                "flag_colors": " ".join(colours),
                "ancillary_variables": "processed_flag current_pixel_state observation_count",
            },
            fill=np.uint8(0),
        )


def write_climate(world: World, directory: Path) -> None:
    """Write the monthly climate of the years of leaf area index: `tas` in K, `pr` in kg m-2 s-1."""
    years = world.config.leaf_area_maps
    first = years.start - SPIN_UP
    climate = monthly_climate(world, range(first, years.stop))
    after_spin_up = slice(12 * SPIN_UP, None)
    days = np.array([DAYS_OF_MONTHS[month % 12] for month in range(12 * len(years))], np.float64)
    ends = np.cumsum(days)
    seconds = 86400 * days[:, None, None]
    fields = {
        "tas": ("K", "air_temperature", climate.temperature[after_spin_up] + 273.15),
        "pr": ("kg m-2 s-1", "precipitation_flux", climate.rain[after_spin_up] / seconds),
    }
    name = f"climate_monthly_{years[0]}-{years[-1]}.nc"
    with netcdf(directory / "climate" / name, climate.grid, title="Monthly climate") as out:
        out.axis(
            "time",
            ends - days / 2,
            units=f"days since {years[0]}-01-01",
            calendar="noleap",
            standard_name="time",
            bounds="time_bnds",
            axis="T",
        )
        out.file.dimensions["bnds"] = 2
        out.variable("time_bnds", ("time", "bnds"), np.stack([ends - days, ends], 1), {})
        for variable, (units, standard_name, values) in fields.items():
            about = {"units": units, "standard_name": standard_name, "cell_methods": "time: mean"}
            maps = values.astype(np.float32)
            out.variable(variable, ("time", "lat", "lon"), maps, about, fill=MISSING)


def write_leaf_area(world: World, directory: Path, leaves: Iterator[tuple[int, F32]]) -> None:
    """Write leaf area index of the next year as C3S publishes it: a file each dekad.

    `leaves` are those of `leaf_area`: each call takes a year of them.
    """
    year, leaves_THW = next(leaves)
    folder = directory / "c3s_lai"
    first_file: Path | None = None
    for dekad, leaves_HW in enumerate(leaves_THW):
        last_day = (10, 20, DAYS_OF_MONTHS[dekad // 3])[dekad % 3]
        date = np.datetime64(f"{year}-{dekad // 3 + 1:02}-{last_day:02}")
        values = _packed_leaf_area(published(world, leaves_HW, year, dekad))
        days = (date - np.datetime64("1970-01-01")).astype(int)
        values["time"] = np.array([days], np.float64)
        name = f"c3s_LAI_{str(date).replace('-', '')}000000_GLOBE_PROBAV_V3.0.1.nc"
        # The files of a year differ in their values alone: to copy one takes a tenth of the time
        # that it takes to describe all variables anew.
        if first_file is None:
            first_file = folder / name
            _write_leaf_area_file(first_file, leaf_grid(world), values)
        else:
            write_copy(folder / name, first_file, values)


def _packed_leaf_area(retrieved_HW: F32) -> dict[str, NDArray[Any]]:
    """Return the variables of a file as stored, shape (1, H, W); NaN is no retrieval."""
    is_known_HW = ~np.isnan(retrieved_HW)
    error_HW = NOISE * retrieved_HW + NOISE_FLOOR
    packed: dict[str, NDArray[Any]] = {}
    for variable, values_HW in (("LAI", retrieved_HW), ("LAI_ERR", error_HW)):
        packed_HW = np.full(retrieved_HW.shape, LAI_FILL, np.uint16)
        packed_HW[is_known_HW] = (values_HW[is_known_HW] / LAI_SCALE).round()
        packed[variable] = packed_HW[None]
    # No observation, or one without snow.
    packed["retrieval_flag"] = np.where(is_known_HW, 0x1000, 0x01).astype(np.uint32)[None]
    return packed


def _write_leaf_area_file(path: Path, grid: Grid, values: Mapping[str, NDArray[Any]]) -> None:
    with netcdf(path, grid, title="Leaf area index of C3S") as out:
        out.axis(
            "time",
            values["time"],
            units="days since 1970-01-01 00:00:00",
            calendar="gregorian",
            standard_name="time",
            axis="T",
        )
        for variable, long_name in (
            ("LAI", "Effective Leaf Area Index 1km"),
            ("LAI_ERR", "Uncertainty of Effective Leaf Area Index 1km"),
        ):
            about = {
                "standard_name": "leaf_area_index" if variable == "LAI" else "",
                "long_name": long_name,
                "units": "m2 m-2",
                "scale_factor": LAI_SCALE,
                "add_offset": 0.0,
                "valid_range": np.array([0, LAI_FILL - 1], np.uint16),
            }
            out.variable(variable, ("time", "lat", "lon"), values[variable], about, fill=LAI_FILL)
        dims = ("time", "lat", "lon")
        out.variable("retrieval_flag", dims, values["retrieval_flag"], FLAGS_OF_LAI)


def write_population(world: World, directory: Path) -> None:
    """Write ISIMIP 2b: people per 0.5 degree cell, 1861-2005 and, for each pathway, 2006-2100.

    The published files count time in years, which no calendar library decodes; 1860-1-1 is the
    epoch met in code that reads them.
    """
    scenarios = world.config.scenario
    spans = {"histsoc": (scenarios[0], 1861, 2005)}
    # of two scenarios with the same pathway the first one counts: it overwrites the others
    for scenario in reversed(scenarios):
        spans[f"ssp{pathway_number(scenario)}soc"] = (scenario, 2006, 2100)

    grid = world.config.coarse_grid(2 * COARSE)
    for soc, (scenario, first, last) in spans.items():
        counts = population(world, scenario)[first - FIRST_YEAR : last - FIRST_YEAR + 1]
        path = directory / f"isimip/population_{soc}_0p5deg_annual_{first}-{last}.nc4"
        write_population_file(path, grid, counts, soc=soc, years=range(first, last + 1))


def write_population_file(
    path: Path, grid: Grid, counts_TYX: F32, *, soc: str, years: range
) -> None:
    """Write a file of ISIMIP 2b: people per cell of some years; see `write_population`."""
    with netcdf(path, grid, title=f"ISIMIP2b population {soc}") as out:
        out.axis(
            "time",
            np.arange(years.start, years.stop) - 1860.0,
            units="years since 1860-1-1 12:00:00",
            calendar="proleptic_gregorian",
            standard_name="time",
            axis="T",
        )
        out.variable(
            "number_of_people",
            ("time", "lat", "lon"),
            counts_TYX,
            {"long_name": "number of people", "units": "1", "missing_value": MISSING},
            fill=MISSING,
        )


def write_koeppen(world: World, directory: Path) -> None:
    """Write Koeppen-Geiger classes of four past periods and, for each scenario, two future ones."""
    warming = dict(PAST_PERIODS)
    present = PAST_PERIODS["1991_2020"]
    for scenario in world.config.scenario:
        forcing = scenario[4:]  # the 45 of ssp245
        still_to_come = WARMING_2100[forcing] - present
        for period, share in FUTURE_PERIODS.items():
            warming[f"{period}/{scenario}"] = present + share * still_to_come
    for folder, kelvin in warming.items():
        path = directory / "koppen" / folder / "koppen_geiger_0p01.tif"
        write_geotiff(path, koeppen(world.terrain, warming=kelvin), world.config.grid, nodata=0)


def write_relief(world: World, directory: Path) -> None:
    """Write GEBCO 2024 at 15 arc-seconds and PNNL's topography at 1/120 degree, from one relief.

    GEBCO's latitudes ascend.
    """
    terrain = world.terrain
    fine = world.config.grid
    grid = Grid(fine.north, fine.west, 1 / 240, fine.n_lat * 12 // 5, fine.n_lon * 12 // 5)

    rng = np.random.default_rng([world.config.seed, RELIEF_STREAM])
    rough = fractal(grid.shape, rng, roughness=2.0, scale=0.02)
    # metres of detail that the fine grid has not: more on slopes, none on water
    detail = np.where(terrain.soil, 1 + 3 * terrain.slope, 0)
    relief = refined(terrain.elevation, fine, grid)
    relief += rough * refined(detail, fine, grid)

    path = directory / "gebco/GEBCO_2024.nc"
    with netcdf(path, grid, title="The GEBCO_2024 Grid", ascending=True) as out:
        out.variable(
            "crs",
            (),
            np.array(b"", "S1"),
            {
                "grid_mapping_name": "latitude_longitude",
                "epsg_code": "EPSG:4326",
                "inverse_flattening": "298.257223563",
                "semi_major_axis": "6378137",
            },
        )
        out.variable(
            "elevation",
            ("lat", "lon"),
            relief.round().astype(np.int16)[::-1],
            {
                "standard_name": "height_above_mean_sea_level",
                "long_name": "Elevation relative to sea level",
                "units": "m",
                "grid_mapping": "crs",
                "sdn_parameter_urn": "SDN:P01::BATHHGHT",
                "sdn_parameter_name": SEA_FLOOR_HEIGHT,
                "sdn_uom_urn": "SDN:P06::ULAA",
                "sdn_uom_name": "Metres",
            },
        )
    _write_topography(world, directory, relief)


def _kilometre_grid(world: World) -> Grid:
    """PNNL's grid of 1/120 degree, whose cells are 1.2 times as many as the fine ones."""
    fine = world.config.grid
    return Grid(fine.north, fine.west, 1 / 120, fine.n_lat * 6 // 5, fine.n_lon * 6 // 5)


def _sea(world: World, grid: Grid) -> Bool:
    """Cells of a grid that are sea for the most part."""
    return refined(world.terrain.land.astype(np.float32), world.config.grid, grid) < 0.5


def _write_topography(world: World, directory: Path, relief: F32) -> None:
    """Write PNNL's TOPO from a relief of twice its resolution; missing at sea.

    The names of PNNL's files are not documented where we could look: TOPO_1km.nc and SOIL_1km.nc
    stand for them.
    """
    grid = _kilometre_grid(world)
    parts = relief.reshape(grid.n_lat, 2, grid.n_lon, 2)
    mean = parts.mean((1, 3))
    slope, aspect = slope_and_aspect(mean, cell=grid.step)
    view = np.cos(np.radians(slope) / 2) ** 2
    fields = {
        "ELEVATION": mean,
        "STDEV_ELEV": parts.std((1, 3)),
        "SLOPE": slope,
        "ASPECT": aspect,
        "SKY_VIEW_FACTOR": view,
        "TERRAIN_CONFIG": 1 - view,
    }
    sea = _sea(world, grid)
    digits = {"SKY_VIEW_FACTOR": 4, "TERRAIN_CONFIG": 4}
    with netcdf(directory / "pnnl/TOPO_1km.nc", grid, title="PNNL 1 km topography") as out:
        for name, values in fields.items():
            rounded = values.round(digits.get(name, 1))
            known = np.where(sea, PNNL_FILL, rounded).astype(np.float32)
            units, long_name = ELEMENTS[name]
            about = {"units": units, "long_name": long_name}
            out.variable(name, ("lat", "lon"), known, about, fill=PNNL_FILL)


def write_soil(world: World, directory: Path) -> None:
    """Write PNNL's SOIL for ten layers; missing at sea.

    Sand and clay are in per cent, organic matter in kg m-3.
    """
    terrain = world.terrain
    fine = world.config.grid
    grid = _kilometre_grid(world)
    sand = refined(terrain.sand, fine, grid)
    clay = refined(terrain.clay, fine, grid)
    # wet, cold soils keep more of it
    organic = refined((8 + terrain.rain / 25 - terrain.temperature).clip(4, 80), fine, grid)

    depth = np.array(SOIL_DEPTHS, np.float32)[:, None, None]
    fields = {
        "PCT_SAND": ("%", "percent sand", (sand - 3 * depth).round()),
        "PCT_CLAY": ("%", "percent clay", (clay + 1.5 * depth).round()),
        "ORGANIC": ("kg/m3", "organic matter density", (organic * np.exp(-depth / 0.5)).round(1)),
    }

    sea = _sea(world, grid)
    with netcdf(directory / "pnnl/SOIL_1km.nc", grid, title="PNNL 1 km soil") as out:
        out.axis(
            "layer",
            np.array(SOIL_DEPTHS, np.float64),
            units="m",
            long_name="depth of the layer's node",
            positive="down",
            axis="Z",
        )
        for name, (units, long_name, values) in fields.items():
            known = np.where(sea, PNNL_FILL, values.clip(0)).astype(np.float32)
            about = {"units": units, "long_name": long_name}
            out.variable(name, ("layer", "lat", "lon"), known, about, fill=PNNL_FILL)


def write_truth(world: World, directory: Path, scenario: str) -> None:
    """Write the maps without flicker, 1850-2100, in Zarr.

    The first scenario's are truth.zarr, another's truth-{scenario}.zarr.
    """
    name = "truth.zarr" if scenario == world.config.scenario[0] else f"truth-{scenario}.zarr"
    grid = world.config.grid
    with replacing(directory / name) as partial:
        shutil.rmtree(partial, ignore_errors=True)
        root = zarr.open_group(partial, mode="w", zarr_format=3)
        root.attrs.update(
            {"title": f"True land use of the sandbox, {scenario} after 2015", "comment": NOTICE}
        )
        for axis, values in {"year": np.array(YEARS), "lat": grid.lat, "lon": grid.lon}.items():
            root.create_array(axis, data=values, chunks=values.shape, dimension_names=(axis,))
        maps = root.create_array(
            "land_use",
            data=world.truth[scenario],
            chunks=(16, *grid.shape),
            dimension_names=("year", "lat", "lon"),
        )
        maps.attrs.update({"long_name": "land use", **HILDA.cf_attributes()})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(partial)
