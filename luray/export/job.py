"""What a writer of a format is given: maps, region, years, and where the files go."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from luray.core.progress import NamedProgress, no_named_progress
from luray.cube.cube import Cube
from luray.export.coarse_maps import CoarseMaps, CoarseWork
from luray.export.folder import ExportFolder
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
    folder: ExportFolder
    cube: Cube | None = None
    """The predictor cube as the scenario sees it, None where only a product was given."""
    split: Split = "auto"
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

        Parameters
        ----------
        pattern : str
            Name of a file with `{year}` in it.
        """
        done = self.folder.done()
        for number, year in enumerate(self.years):
            self.progress(number, len(self.years), "files")
            name = pattern.format(year=year)
            if name not in done:
                yield year, name
        self.progress(len(self.years), len(self.years), "files")

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
        first, last = self.years[0], self.years[-1]
        attributes = {
            "title": f"{product.title}: {title}",
            "source": f"luray {self.version}, annual maps of {product.legend.long_name} in cells "
            f"of {product.grid.step:g} degrees ({', '.join(of_what)})",
            "history": f"{now} luray {self.version} export --format {self.form}, {first}-{last}",
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
