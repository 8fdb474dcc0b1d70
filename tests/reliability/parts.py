"""The parts of `make chaos`, in their order."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from luray.core.crash_points import FAILURES
from luray.stages import verify
from luray.stages.publish import publish
from tests.faults import fault_proxy
from tests.machine import patience
from tests.reliability import plain
from tests.reliability.chaos import Chaos, Part
from tests.reliability.conftest import SmallWorld, make, small_world_in
from tests.reliability.crashes import crash_training, cross, crossed, kill_at_random
from tests.reliability.damage import KINDS, flip
from tests.reliability.foreign import Parser, parsers
from tests.reliability.fuzz import begin, ended
from tests.reliability.shared_cpus import share_beside
from tests.reliability.signals import WORKS, stop
from tests.reliability.soak import growth, soak
from tests.reliability.store_faults import infer_through, kill_store, on_s3
from tests.s3 import serve

MOST_GROWTH = 20.0
"""MiB by which the memory of a long run may grow: less than the maps of two years."""


EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
LEAST_SHARE = 0.6
"""Of the undisturbed rate, beside another busy process on two cores."""
QUIET_LOAD = 0.7
"""Load of a machine on which that can be measured."""


def small_world(chaos: Chaos) -> SmallWorld:
    """The world of all parts, with the product that all others must equal."""
    folder = chaos.folder.parent / "small world"
    if not folder.exists():
        make(folder)
    return small_world_in(folder)


def processes() -> ProcessPoolExecutor:
    """Two processes: the lives that one process has begun are waited for in one thread."""
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


def driver_kills(chaos: Chaos) -> None:
    """Kill whole inferences at random moments, two at once."""
    small = small_world(chaos)
    with processes() as pool:
        series = []
        for n in range(2):
            folder = chaos.folder / f"series {n}"
            folder.mkdir()
            kills, seed = chaos.times(125), 2 * chaos.seed + n
            series.append(pool.submit(kill_at_random, small, folder, kills=kills, seed=seed))
        for one in series:
            found = one.result()
            chaos.count(
                kills_of_drivers=found.kills,
                runs_finished=found.runs,
                tile_years_redone=found.redone,
                cells_that_differ=found.differing,
            )


def crash_points(chaos: Chaos) -> None:
    """Fail in every way at every crash point, at two points at once."""
    small = small_world(chaos)
    with processes() as pool:
        for n_differing in pool.map(partial(cross, small, chaos.folder), crossed()):
            chaos.count(failures_at_crash_points=1, runs_finished=1, cells_that_differ=n_differing)
    for failure in FAILURES:
        folder = chaos.folder / f"training {failure}"
        folder.mkdir()
        n_differing = crash_training(small, folder, failure)
        chaos.count(failures_at_crash_points=1, runs_finished=1)
        assert n_differing == 0, f"{n_differing} weights differ after {failure}"


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


def ray_kills(chaos: Chaos) -> None:
    """Kill workers and nodes of a real cluster, and let workers stand still for a while."""
    small = small_world(chaos)
    for n in range(chaos.times(2)):
        output = small.copy(chaos.folder / f"out {n}")
        command = [sys.executable, "-m", "tests.reliability.ray_kills", small.world, output]
        numbers = [chaos.times(12), chaos.times(3), chaos.times(4), chaos.seed + n]
        done = subprocess.run(
            [*command, *map(str, numbers)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        killed = json.loads(done.stdout.splitlines()[-1])
        place = small.run(output).product
        chaos.count(
            kills_of_workers=killed["workers"],
            kills_of_nodes=killed["nodes"],
            pauses_of_workers=killed["pauses"],
            runs_finished=1,
            cells_that_differ=plain.differing_cells(place, small.product),
        )


def signals(chaos: Chaos) -> None:
    """Stop verbs at their work by Ctrl-C and SIGTERM."""
    seconds = {}
    for verb, (number, code) in product(WORKS, EXIT_CODES.items()):
        folder = chaos.folder / f"{verb} {number.name}"
        folder.mkdir()
        found, taken = stop(small_world(chaos), folder, verb, number)
        assert found == code, f"{verb} ends with {found} after {number.name}"
        assert taken < patience(15), f"{verb}: processes of Ray were there after {taken:.0f} s"
        seconds[folder.name] = round(taken, 1)
    chaos.curves["seconds to end"] = seconds


def damage(chaos: Chaos) -> None:
    """Damage an object of every kind, and repair it."""
    small = small_world(chaos)
    run = small.run(small.copy(chaos.folder / "out", product=True))
    publish(run)
    for kind in KINDS.values():
        flip(Path(run.path()) / kind.place)
        found = [*verify.damaged_publication(run), *verify.damaged_metadata(run)]
        if verify.damaged_metadata(run):
            verify.restore(run, verify.damaged_metadata(run))
        units = verify.damaged(run)
        verify.withdraw(run, units)
        assert found or units, f"the damage of {kind.name} was not found"
        plain.infer(run)
        publish(run)
        chaos.count(objects_damaged=1, runs_finished=1)
    chaos.count(cells_that_differ=plain.differing_cells(run.product, small.product))


def fuzzing(chaos: Chaos) -> None:
    """Read documents that were edited at random: 10,000 for each parser, two parsers at once."""

    def read(parser: Parser) -> str:
        folder = chaos.folder / parser.name.replace(": ", "-")
        process = begin(parser, folder, examples=chaos.times(10_000), seed=chaos.seed)
        try:
            found = ended(process)
        except AssertionError as error:
            return f"{parser.name}: {error}"
        chaos.count(inputs_fuzzed=found.read, bad_inputs_refused=found.refused)
        return ""

    with ThreadPoolExecutor(2) as pool:
        faults = list(filter(None, pool.map(read, parsers(chaos.folder / "valid"))))
    assert not faults, "\n".join(faults)


def long_run(chaos: Chaos) -> None:
    """Measure the memory of a run of ten times the years."""
    curve, bound = soak(small_world(chaos), chaos.folder)
    chaos.curves["resident MiB"] = curve[:: max(1, len(curve) // 50)]
    chaos.curves["growth MiB"] = round(growth(curve), 1)
    chaos.curves["bound MiB"] = round(bound / 2**20)
    assert growth(curve) < MOST_GROWTH, f"memory grows by {growth(curve):.1f} MiB"
    assert max(curve) * 2**20 < bound, f"{max(curve)} MiB are more than the bound"


def shared_cpus(chaos: Chaos) -> None:
    """Measure training and inference beside another busy process."""
    busy = os.getloadavg()[0]
    small = small_world(chaos)
    for kind in ("train", "infer"):
        output = small.copy(chaos.folder / kind)
        chaos.curves[kind] = share_beside(small, output, kind)
    if busy > QUIET_LOAD:
        chaos.curves["not judged"] = f"the machine was busy before: load {busy:.1f}"
        return
    for kind in ("train", "infer"):
        share = chaos.curves[kind]["share"]
        assert share >= LEAST_SHARE, f"{kind}: {share} of the undisturbed rate"


PARTS: dict[str, Part] = {
    "shared CPUs": shared_cpus,  # first: other parts keep the machine busy
    "driver kills": driver_kills,
    "crash points": crash_points,
    "store faults": store_faults,
    "ray kills": ray_kills,
    "signals": signals,
    "damage": damage,
    "fuzzing": fuzzing,
    "long run": long_run,
}
