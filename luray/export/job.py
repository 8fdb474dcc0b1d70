"""What a writer of a format is given: maps, region, years, and where the files go."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from luray.core.progress import NamedProgress, no_named_progress
from luray.cube.cube import Cube
from luray.export.coarse_maps import CoarseMaps, CoarseWork
from luray.export.folder import ExportFolder
from luray.export.leaf_area_maps import LeafAreaMaps
from luray.export.selection import Region
from luray.product.product_maps import MapSeries

Split = Literal["auto", "forcing", "default"]
"""How classes are split into LUH2's states: by the forcing of the run's cube, or by one state that
stands for each class. `auto` takes the forcing where the cube has LUH2 or LUH3.
"""


@dataclass(frozen=True)
class ExportJob:
    """One export: everything that its writer needs."""

    form: str
    """Name of the format."""
    maps: MapSeries
    region: Region
    years: tuple[int, ...]
    """Or other time steps of the product."""
    folder: ExportFolder
    cube: Cube | None = None
    """The predictor cube as the scenario sees it, None where only a product was given."""
    split: Split = "auto"
    leaf_area: LeafAreaMaps | None = None
    """What ecLand's files have beside the vegetation."""
    progress: NamedProgress = no_named_progress
    version: str = "unknown"
    """Of luray."""

    def coarse_work(self, transitions: Literal["recorded", "left out"]) -> CoarseWork:
        """Compute and record fractions of the coarse cells, and transitions where asked for."""
        work = CoarseWork(
            f"{self.folder.work}/coarse",
            CoarseMaps(self.maps, self.region),
            self.years,
            self.folder.fingerprint,
            transitions,
        )
        work.compute(progress=lambda done, total: self.progress(done, total, "coarse cells"))
        return work

    def missing_files(self, pattern: str) -> Iterator[tuple[int, str]]:
        """Yield the years whose file is not finished, with its name, and report progress.

        Where a year has several maps, each of them has a file.

        Parameters
        ----------
        pattern : str
            Name of a file with `{year}` in it.
        """
        label = self.maps.product.time.label
        done = self.folder.done()
        for number, year in enumerate(self.years):
            self.progress(number, len(self.years), "files")
            name = pattern.format(year=label(year))
            if name not in done:
                yield year, name
        self.progress(len(self.years), len(self.years), "files")

    def missing_years(self, pattern: str) -> Iterator[tuple[int, tuple[int, ...], str]]:
        """Yield the calendar years whose file is not finished, their steps, and its name.

        Progress is reported, and `pattern` is as in `missing_files`.
        """
        time = self.maps.product.time
        steps_of: dict[int, tuple[int, ...]] = {}
        for step in self.years:
            steps_of[time.year(step)] = (*steps_of.get(time.year(step), ()), step)
        done = self.folder.done()
        for number, (year, steps) in enumerate(steps_of.items()):
            self.progress(number, len(steps_of), "files")
            name = pattern.format(year=year)
            if name not in done:
                yield year, steps, name
        self.progress(len(steps_of), len(steps_of), "files")

    def attributes(self, title: str) -> dict[str, str]:
        """Return what every file says of where it comes from, without places.

        Parameters
        ----------
        title : str
            What the file has, to follow the title of the product.
        """
        product = self.maps.product
        of_what = [f"run {product.fingerprint[:12]}"]
        if self.maps.scenario:
            of_what.append(f"scenario {self.maps.scenario}")
        if self.maps.member is not None:
            of_what.append(f"member {self.maps.member}")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        first, last = map(product.time.label, (self.years[0], self.years[-1]))
        joint = "-" if product.time.per_year == 1 else " to "
        attributes = {
            "title": f"{product.title}: {title}",
            "source": f"luray {self.version}, {product.time.adjective} maps of "
            f"{product.legend.long_name} in cells of {product.grid.step:g} degrees "
            f"({', '.join(of_what)})",
            "history": f"{now} luray {self.version} export --format {self.form}, "
            f"{first}{joint}{last}",
            "luray_version": self.version,
            "luray_run_fingerprint": product.fingerprint,
            "luray_scenario": self.maps.scenario,
            "legend": product.legend.name,
        }
        if product.caveats:
            attributes["caveats"] = "; ".join(product.caveats)
        if self.cube is not None:
            inputs = [
                f"{source['title']} ({source['doi'] or 'no DOI'}, {source['licence']})"
                for source in self.cube.sources
            ]
            attributes["references"] = "; ".join(inputs)
        return attributes
