"""Verbs for a product: its progress, its maps in the browser, its integrity."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

import luray
from luray.cli import console
from luray.cli.console import say
from luray.cli.progress import progress
from luray.cli.verbs.options import Overrides, RunFile

if TYPE_CHECKING:
    from luray.product.trajectories import Unit
    from luray.stages.config import RunConfig
    from luray.stages.view import Viewed


def status(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT|RUN.toml", help="A product.zarr on any store, or a run file."
        ),
    ],
    set_: Overrides = None,
) -> None:
    """Show how far a product is: years, tiles, rate, time left; also while it is being written."""
    from luray.storage.places import PlaceError, place_of

    if place.endswith(".toml"):
        url = luray.load_run(place, set_ or ()).product
    else:
        try:
            url = place_of(place)
        except PlaceError as error:
            raise PlaceError(f"PRODUCT: {error}") from None

    from luray.cli.status_lines import status_lines
    from luray.product.status import status_of

    for line in status_lines(status_of(url)):
        say(line)


def view(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT|RUN.toml|STAC",
            help="A product.zarr on any store, a run file, or a STAC item, collection or catalog.",
        ),
    ],
    set_: Overrides = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. The default is this machine alone; 0.0.0.0 lets everybody "
            "in who reaches it, without a login."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, show_default=False, help="By default 8850, or a free one beside it."
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Look at a product in the browser: maps, years, scenarios, change; stop it with Ctrl-C.

    The page is drawn straight from the Zarr store, without a tile server or
    the internet. Products on s3://, gs:// and https:// are read with the
    credentials of this machine. `luray publish` puts the same page beside a
    product, for a bucket that is a web site.
    """
    from luray.stages.view import find_product

    _view(find_product(place, tuple(set_ or ())), host=host, port=port, browser=browser)


def _view(viewed: "Viewed", *, host: str, port: int | None, browser: bool) -> None:
    import webbrowser

    from luray.stages.view import address_of, make_server

    with make_server(viewed, host=host, port=port) as server:
        address = address_of(server, viewed)
        for note in viewed.notes:
            console.err.print(f"note: {escape(note)}", soft_wrap=True)
        say(f"explorer: {address}")
        if browser:
            webbrowser.open(address)
        server.serve_forever()


def verify(
    file: RunFile,
    set_: Overrides = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Withdraw what is damaged, so that the next `luray infer` computes it again, and "
            "the next `luray publish` describes it.",
        ),
    ] = False,
) -> None:
    """Compare all that the product holds with its receipts; exit code 1 if anything is damaged.

    That is every tile-year with its fractions, transitions and overviews, the
    metadata and coordinates, and what `luray publish` has written.
    """
    run = luray.load_run(file, set_ or ())
    if _verify(run, repair=repair):
        raise typer.Exit(1)
    say(f"{run.product}: every tile-year matches its receipt, and all else its checksum")


def _verify(run: "RunConfig", *, repair: bool) -> bool:
    """Name what is damaged, and withdraw it where asked to; return whether anything is."""
    from luray.stages import verify as stage
    from luray.stages.infer import unpublish

    published = stage.damaged_publication(run)
    for name in published:
        console.err.print(f"damaged: publication, {escape(name)}", soft_wrap=True)
    if published and repair:
        unpublish(run)
        console.err.print("withdrawn: `luray publish` writes it again")

    metadata = stage.damaged_metadata(run)
    for name in metadata:
        console.err.print(f"damaged: metadata, {escape(name)}", soft_wrap=True)
    if metadata and not repair:
        console.err.print(
            "tile-years are not compared, as they are read through the metadata: run "
            "`luray verify --repair`"
        )
        return True
    if metadata:
        stage.restore(run, metadata)
        console.err.print("written again: `luray infer` finishes the product")

    with progress("verify") as progressed:
        units = stage.damaged(run, progress=progressed)
    for unit in units:
        console.err.print(f"damaged: {_named(run, unit)}")
    if units and repair:
        stage.withdraw(run, units)
        console.err.print("withdrawn: `luray infer` computes these tile-years again")
    return bool(units or metadata or published)


def _named(run: "RunConfig", unit: "Unit") -> str:
    """A tile-year in words, with its scenario and member where a run has several."""
    from luray.engine.jobs import in_words
    from luray.product.trajectories import TileYear

    place = in_words(unit.tile) if isinstance(unit, TileYear) else "coarser overviews"
    when = f"year {unit.year}" if run.time.per_year == 1 else run.time.label(unit.year)
    parts = [when, place]
    if run.scenarios:
        parts.append(f"scenario {run.scenarios[unit.member_index.scenario]}")
    if run.inference.members:
        parts.append("across members" if unit.across else f"member {unit.member_index.member}")
    return ", ".join(parts)
