"""The Ray actors that compute tile-years, and the calls to them.

A call returns references at once. Its marker is a small object that tells that the call is done;
everything large stays with Ray until another actor asks for it.
"""

from typing import Any, NamedTuple

import ray

from luray.core.tiling import Tile
from luray.engine.side_work import CopyYears, MakeOverviews, SummariseMembers
from luray.engine.spec import InferenceSpec
from luray.engine.tile_year import TileYears


@ray.remote(concurrency_groups={"main": 1, "reduce": 1})  # type: ignore[call-overload]
class Worker:
    """An actor around `TileYears`, whose reductions run beside its predictions."""

    def __init__(self, spec: InferenceSpec, *, device: str) -> None:
        self._tile_years = TileYears(spec, device=device)

    @ray.method(concurrency_group="main")
    def ready(self) -> None:
        """Return once the worker is there."""

    @ray.method(concurrency_group="main")
    def copy(self, *args: Any) -> None:
        """Call `TileYears.copy`."""
        self._tile_years.copy(*args)

    @ray.method(concurrency_group="main")
    def summarise(self, *args: Any) -> None:
        """Call `TileYears.summarise`."""
        self._tile_years.summarise(*args)

    @ray.method(concurrency_group="main")
    def write_overviews(self, *args: Any) -> None:
        """Call `TileYears.write_overviews`."""
        self._tile_years.write_overviews(*args)

    @ray.method(concurrency_group="main")
    def predict(self, *args: Any) -> Any:
        """Call `TileYears.predict`; return the number of windows, as the marker, and each strip."""
        windows, strips = self._tile_years.predict(*args)
        return (windows, *strips) if strips else windows

    @ray.method(concurrency_group="reduce")
    def reduce(self, *args: Any) -> Any:
        """Call `TileYears.reduce`; return the shortfall, as the marker, and the edges."""
        edges, shortfall = self._tile_years.reduce(*args)
        return shortfall, edges


class PredictCall(NamedTuple):
    """References to what a prediction will give."""

    marker: Any
    """The number of its windows."""
    strips: list[Any]
    """In the order of `Geometry.outbound`."""


class ReduceCall(NamedTuple):
    """References to what a reduction will give."""

    marker: Any
    """Its shortfall."""
    edges: Any
    """All edges in one object."""


class WorkerActors:
    """The actors of an inference by the worker's number.

    Parameters
    ----------
    spec : InferenceSpec
        The inference; put into the object store once.
    gpu : bool
        Whether each actor has a GPU.
    """

    def __init__(self, spec: InferenceSpec, *, gpu: bool) -> None:
        self._spec_ref = ray.put(spec)
        self._device = "cuda" if gpu else "cpu"
        self._actor_class = Worker.options(num_cpus=spec.threads, num_gpus=int(gpu))  # type: ignore[attr-defined]
        self._actors: dict[int, Any] = {}

    def __contains__(self, worker: int) -> bool:
        return worker in self._actors

    def start(self, worker: int) -> Any:
        """Ask for an actor; return the marker of its being there."""
        actor = self._actor_class.remote(self._spec_ref, device=self._device)
        self._actors[worker] = actor
        return actor.ready.remote()

    def stop(self, worker: int) -> None:
        """Kill an actor."""
        ray.kill(self._actors.pop(worker))

    def stop_all(self) -> None:
        """Kill all actors."""
        for actor in self._actors.values():
            ray.kill(actor)

    def copy(self, worker: int, copy: CopyYears) -> Any:
        """Call `TileYears.copy`; return the marker."""
        return self._actors[worker].copy.remote(copy.tile, copy.years)

    def summarise(self, worker: int, summary: SummariseMembers) -> Any:
        """Call `TileYears.summarise`; return the marker."""
        return self._actors[worker].summarise.remote(*summary)

    def write_overviews(self, worker: int, overviews: MakeOverviews) -> Any:
        """Call `TileYears.write_overviews`; return the marker."""
        return self._actors[worker].write_overviews.remote(overviews.year, overviews.member_indices)

    def predict(
        self,
        worker: int,
        tile: Tile,
        trajectory: int,
        step: int,
        *,
        edges: list[Any],
        n_strips: int,
    ) -> PredictCall:
        """Call `TileYears.predict`; `edges` are references or None."""
        method = self._actors[worker].predict.options(num_returns=1 + n_strips)
        refs = method.remote(tile, trajectory, step, *edges)
        if n_strips == 0:  # then Ray gives the one reference as it is
            return PredictCall(refs, [])
        marker, *strips = refs
        return PredictCall(marker, strips)

    def reduce(
        self, worker: int, tile: Tile, trajectory: int, step: int, *, strips: list[Any]
    ) -> ReduceCall:
        """Call `TileYears.reduce`; `strips` are references."""
        method = self._actors[worker].reduce.options(num_returns=2)
        return ReduceCall(*method.remote(tile, trajectory, step, *strips))
