"""Verbs for the inputs: list and check them, catalogue files where they lie."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

import luray
from luray.cli.console import say, show
from luray.cli.progress import progress
from luray.cli.verbs.options import Overrides

if TYPE_CHECKING:
    from luray.stages.config import RunConfig


def sources(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN.toml]",
            show_default=False,
            help="A run file: list its sources, and what is found where it looks for them.",
        ),
    ] = None,
    set_: Overrides = None,
) -> None:
    """List the inputs: what each is, its DOI and licence, where to get it, and the files expected.

    Files are read as their publishers ship them, from a folder, a URL or a
    STAC catalog; nothing is converted by hand.

    With a run file: the sources of that run, and what was found of each
    (files, years, grid) or why it is refused. Only the headers of the files
    are read; `luray build RUN.toml --check` reads every value.
    """
    _sources(None if file is None else luray.load_run(file, set_ or ()))


def _sources(run: "RunConfig | None") -> None:
    from luray.cli.tables import Listed, sources_lines, sources_table
    from luray.sources import kinds

    if run is None:
        listed = [Listed(kind, about) for kind, about in kinds().items()]
    else:
        from luray.sources.verdict import files_of
        from luray.stages.inputs import open_or_refuse

        listed = []
        for opened in open_or_refuse(run):
            files = files_of(opened.source) if opened.source else ""
            listed.append(
                Listed(opened.name, opened.config.described, opened.where, files, opened.fault)
            )
    show(sources_table(listed), sources_lines(listed))
    if any(source.refused for source in listed):
        raise typer.Exit(1)


def virtualize(
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="URL...",
            help="NetCDF and GeoTIFF files, or folders of them: local, s3://, gs:// or https://.",
        ),
    ],
    collection: Annotated[
        str,
        typer.Option(
            help="What the files are: a STAC collection, such as catalogs/luh2/collection.json."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            help="Folder of the catalog, which is made or extended: local, s3:// or gs://."
        ),
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="parquet|json", help="How references are written.")
    ] = "parquet",
) -> None:
    """Catalogue files in STAC where they lie, so that a run can read them without a copy.

    NetCDF files get references by which single chunks of them are read.
    What to write into the run file is printed at the end.
    """
    from luray.catalog.virtualize import places, virtualize

    with progress("virtualize") as progressed:
        catalog = virtualize(
            urls, collection=collection, output=output, format=format_, progress=progressed
        )
    say(f"STAC catalog: {catalog}")
    for line in (
        "in the run file:",
        "[catalog]",
        f'url = "{catalog}"',
        "[storage]",
        f"allow = {json.dumps(places(urls, output=output))}",
    ):
        say(line)
