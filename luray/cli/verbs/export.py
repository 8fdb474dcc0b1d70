"""Verbs that write a product or a model in the formats of other programs."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

import luray
from luray.cli.console import say
from luray.cli.progress import progress
from luray.cli.verbs.options import Overrides

if TYPE_CHECKING:
    from luray.model.operating_point import OperatingPoint


def export(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN.toml|PRODUCT", help="A run file, or a product.zarr on any store."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="luh2: states.nc, transitions.nc and staticData_quarterdeg.nc in LUH2's layout, "
            "0.25 degrees. fates: LUH2's states and transitions as shares of the land. ctsm-raw: "
            "percent of plant and crop types, a file a year. lpj-guess: a text table of land cover "
            "fractions. ecland: cover and type of low and high vegetation for ecLand, and their "
            "leaf area index with --leaf-area, a file a year. cog: a cloud-optimised GeoTIFF a "
            "map. netcdf: a NetCDF file a year, after CF. cf-lai: leaf area index and its spread, "
            "a file a year, after CF.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Folder, which is made: local, s3:// or gs://. Of a run file by default "
            "export/FORMAT in its output.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="W,S,E,N",
            show_default=False,
            help="West, south, east and north in degrees, edges of whole coarse cells, such as "
            "--region=-10,35,30,60. By default the whole product.",
        ),
    ] = None,
    years: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Such as 1850-2100 or 1900,1950,2000. By default all of the product. luh2 and "
            "fates have the change from each year to the next, so they take years in a row.",
        ),
    ] = None,
    grid: Annotated[
        float | None,
        typer.Option(
            metavar="DEGREES",
            show_default=False,
            help="Size of a coarse cell, whole cells of the product; 0.25 by default. Not for "
            "luh2, which has 0.25, and not for cog and netcdf, which have the maps as they are.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(show_default=False, help="Which scenario, where the product has several."),
    ] = None,
    member: Annotated[
        int | None,
        typer.Option(
            show_default=False, help="Which member, where the product has several; from 0."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="auto|forcing|default",
            help="How luh2 and fates split a class into LUH2's states. forcing: by each coarse "
            "cell's shares in the LUH2 of the run that year. default: one state stands for each "
            "class (catalogs/crosswalks/luh2.toml). auto: the forcing, or where the run has no "
            "LUH2 the default, which the files say.",
        ),
    ] = "auto",
    leaf_area: Annotated[
        str | None,
        typer.Option(
            "--leaf-area",
            metavar="PRODUCT",
            show_default=False,
            help="A product.zarr of leaf area index by dekad, month or 8 days, of the same region "
            "and years, on the same cells or whole blocks of them. ecland then has lai_lv and "
            "lai_hv in the 36 dekads of a year.",
        ),
    ] = None,
    set_: Overrides = None,
) -> None:
    """Write a finished product in the layout that a model or a map tool reads.

    `luray export catalogs/crete/run.toml --format luh2` writes every year of
    the whole product. Files get their names when they have been read back:
    sums are right, and states and transitions close. Interrupted, it
    continues with what is missing. What is left out or assumed stands in the
    attributes of the files; export.json in the folder has their checksums.

    Given a product and no run file, there is no forcing to split classes by
    and no climate zone to choose plant types by: luh2 and fates then need
    --split default. ctsm-raw needs the run file, and so does ecland where
    the maps are those of HILDA+.

    ecland takes maps of land cover, too (ESA CCI-LC, IGBP). Given
    --leaf-area, it has the leaf area index of low and of high vegetation,
    each per area of that vegetation, as ecLand takes them. A map does not
    tell them apart: both have the value of the map over the share of the
    class that is vegetation. Maps of values go into cog, netcdf and cf-lai;
    all other formats have classes.
    """
    # First, so that a wrong run file is answered before the rest is imported.
    source = luray.load_run(place, set_ or ()) if place.endswith(".toml") else place
    from typing import get_args

    from luray.export.job import Split
    from luray.stages.export import export as run_export

    if split not in get_args(Split):
        raise typer.BadParameter(
            f"{split!r}; expected one of {', '.join(get_args(Split))}", param_hint="--split"
        )
    with progress("export") as progressed:
        exported = run_export(
            source,
            form,
            region=region,
            years=years,
            grid=grid,
            scenario=scenario,
            member=member,
            split=cast("Split", split),
            leaf_area=leaf_area,
            output=output,
            progress=lambda done, total, name: progressed(done, total, name=name),
        )
    if not exported.files:
        say(f"{exported.place}: exported already")
        return
    say(f"exported: {exported.place} ({_shortened(exported.files)})")


def export_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Folder of a trained model, such as build/demo/model/forward; local, s3:// or "
            "gs://.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Folder, which is made. By default export in the model's folder.",
        ),
    ] = None,
    cube: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="The cube that the model was trained on, for the grids of its inputs. By default "
            "cube.zarr of the run that the model lies in.",
        ),
    ] = None,
    point: Annotated[
        str,
        typer.Option(
            metavar="cautious|unbiased",
            help="How much change it predicts: as much as costs no accuracy, or as much as is "
            "observed.",
        ),
    ] = "cautious",
) -> None:
    """Write a trained model as ONNX and as a torch program that other languages run.

    `luray export-model build/demo/model/forward` writes model.onnx,
    model.pt2 and card.json. Both files take the last maps as class codes and
    forcing in its units, and give the probability of every class:
    scaling, memory and calibration are inside. Batch and window may have any
    size; the card says of what number the sides of a window are multiples,
    and has the name, unit, grid and order of every input.

    Each file is run beside the model before it has its name, with
    onnxruntime and with torch: probabilities agree to 1e-5.

    A host in Fortran or C is in infra/coupling. A host in Python rather
    takes `luray.emulator.LandSurface`, which reads a cube, does the windows
    and equals the product to the bit. It needs onnx, onnxscript and
    onnxruntime, which are the extra `onnx` of luray.
    """
    from typing import get_args

    from luray.model.operating_point import OperatingPoint
    from luray.stages.export_model import export_model as run_export_model

    if point not in get_args(OperatingPoint):
        raise typer.BadParameter(
            f"{point!r}; expected one of {', '.join(get_args(OperatingPoint))}",
            param_hint="--point",
        )
    exported = run_export_model(
        model,
        cube=cube,
        point=cast("OperatingPoint", point),
        output=output,
        progress=lambda name: say(f"export-model: {name}"),
    )
    if not exported.files:
        say(f"{exported.place}: exported already")
        return
    say(
        f"exported: {exported.place} ({', '.join(exported.files)}); probabilities agree to "
        f"{exported.difference:.1g}"
    )


def _shortened(names: tuple[str, ...]) -> str:
    """Some names in full, many by the first, the last and their number."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]}, {len(names)} files"
