"""The state of an emulator in a file: everything that its next years depend on.

An npz without pickled objects: the maps that the model remembers, what the host has set, and whose
state it is.
"""

import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.emulator.rollout import RegionRollout
from luray.storage.objects import read_object, write_atomically

FORMAT = 1
"""Version of the file."""


def identity_of(rollout: RegionRollout) -> dict[str, Any]:
    """Return whatever decides a bit of a rollout's maps, as JSON."""
    config = rollout.config.model_dump(
        include={
            "start", "edge", "scenario", "member", "seed", "window", "stride", "taper",
            "demand_strength",
        }
    )  # fmt: skip
    # State files of before there was a choice have none.
    precision = rollout.config.precision
    if precision != "float32":
        config["precision"] = precision
    product = rollout.product
    return {
        "format": FORMAT,
        "cube": rollout.cube.fingerprint,
        "model": rollout.card.weights_sha256,
        "calibration": list(rollout.card.points[rollout.config.operating_point]),
        "region": list(rollout.domain.region),
        "product": product.product.fingerprint if product else "",
        **config,
    }


def save(rollout: RegionRollout, place: str) -> None:
    """Write the state of a rollout, whole or not at all."""
    arrays = {f"map {year}": classes_HW for year, classes_HW in rollout.maps.items()}
    arrays["confidence"] = rollout.confidence_HW
    arrays |= rollout.forcing.to_arrays()
    about = {"identity": identity_of(rollout), "years": list(rollout.maps)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(place, buffer.getvalue())


def restore(rollout: RegionRollout, place: str) -> None:
    """Take over a state that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For a file that is none of `save`, or the state of another emulator; it names what differs.
        The rollout is as it was then.
    """
    data = read_object(place)
    if data is None:
        raise FileNotFoundError(f"{place}: no such state; save one with save_state")
    arrays = _arrays(data, place)
    about = json.loads(arrays.pop("about").tobytes())
    stored = about["identity"]
    expected = json.loads(json.dumps(identity_of(rollout)))  # as JSON has it: lists for tuples
    differing = sorted(key for key in expected if stored.get(key) != expected[key])
    if differing:
        listed = "; ".join(
            f"{key}: expected {expected[key]!r}, found {stored.get(key)!r}" for key in differing
        )
        raise ValueError(
            f"{place} is the state of another emulator ({listed}); initialize one with the "
            "configuration that it was saved from, or start anew"
        )
    maps = {year: arrays[f"map {year}"] for year in about["years"]}
    for year, classes_HW in maps.items():
        # refuses what is no class, before anything is taken over
        rollout.cube.legend.decode(classes_HW, where=f"{place}, map {year}")
    rollout.resume(maps, arrays["confidence"])
    rollout.forcing.from_arrays(arrays, rollout.year + 1)


def _arrays(data: bytes, place: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a state file."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{place}: not a whole state file ({error}); expected one of save_state, save it again"
        ) from None
    if "about" not in arrays:
        raise ValueError(f"{place}: not a state file; expected one of save_state")
    return arrays
