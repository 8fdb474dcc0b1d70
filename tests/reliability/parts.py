"""The parts of `make chaos`, in their order."""

from tests.faults import fault_proxy
from tests.reliability import plain
from tests.reliability.chaos import Chaos, Part
from tests.reliability.conftest import SmallWorld, make, small_world_in
from tests.reliability.crashes import crash, crossed, kill_at_random
from tests.reliability.store_faults import infer_through, kill_store, on_s3
from tests.s3 import serve


def small_world(chaos: Chaos) -> SmallWorld:
    """The world of all parts, with the product that all others must equal."""
    folder = chaos.folder.parent / "small world"
    if not folder.exists():
        make(folder)
    return small_world_in(folder)


def driver_kills(chaos: Chaos) -> None:
    """Kill whole inferences at random moments."""
    found = kill_at_random(
        small_world(chaos), chaos.folder, kills=chaos.times(250), seed=chaos.seed
    )
    chaos.count(
        kills_of_drivers=found.kills,
        runs_finished=found.runs,
        tile_years_redone=found.redone,
        cells_that_differ=found.differing,
    )


def crash_points(chaos: Chaos) -> None:
    """Fail in every way at every crash point."""
    small = small_world(chaos)
    for point, failure in crossed():
        folder = chaos.folder / f"{point} {failure}"
        folder.mkdir()
        output = crash(small, folder, point, failure)
        chaos.count(
            failures_at_crash_points=1,
            runs_finished=1,
            cells_that_differ=plain.differing_cells(small.run(output).product, small.product),
        )


def store_faults(chaos: Chaos) -> None:
    """Infer through a store of which every twentieth request goes wrong, and that is killed."""
    small = small_world(chaos)
    with serve("chaos") as s3:
        for n in range(chaos.times(3)):
            place = on_s3(small, s3, f"flaky-{n}")
            log = chaos.folder / f"flaky {n}.log"
            with fault_proxy(s3.endpoint) as proxy:
                proxy.share = 0.05
                proxy.random.seed(chaos.seed + n)
                code = infer_through(proxy, small, place, log)
                chaos.count(faults_injected=sum(proxy.injected.values()), runs_finished=1)
                assert code == 0, log.read_text()

        found = kill_store(small, s3, chaos.folder, kills=chaos.times(40), seed=chaos.seed)
        chaos.count(kills_of_stores=found.kills, runs_finished=found.runs)


PARTS: dict[str, Part] = {
    "driver kills": driver_kills,
    "crash points": crash_points,
    "store faults": store_faults,
}
