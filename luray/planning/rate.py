"""The speed at which a worker predicts windows."""

from dataclasses import dataclass

from luray.core.tiling import Tiling
from luray.planning.prices import DevicePrice
from luray.planning.ranges import Range

STEM_SECONDS = 2.5e-9
"""Seconds of one thread for one output of the first layer in one cell of a window.

All the constants of time are explained in luray/PERFORMANCE.md.
"""
SUMS_SECONDS = 11.5e-9
"""Seconds of one thread to calibrate a cell of a window and add it to the sums."""
SUM_BYTES = 4
"""Bytes of the sum of a class in a cell."""


@dataclass(frozen=True)
class Rate:
    """Seconds of a worker for a window, and where the number comes from."""

    window: Range
    source: str

    @classmethod
    def of_cpu(cls, trunk: float, tiling: Tiling, width: int, source: str) -> "Rate":
        """Add stem and sums to the measured seconds of a trunk: a CPU does one after the other."""
        return cls(Range.exactly(trunk + _host_seconds(tiling, width)), source)

    @classmethod
    def of_gpu(
        cls, device: DevicePrice, flops: int, tiling: Tiling, *, classes: int, history: int
    ) -> "Rate":
        """Estimate the rate of a GPU that was not measured.

        Its time follows from operations and from what is copied: the maps that a cell remembers go
        there, and its sums come back. The host has nothing to do for a window (see
        `luray.engine.device_predictor`).

        Parameters
        ----------
        device : DevicePrice
            The GPU.
        flops : int
            Floating-point operations of a window's network.
        tiling : Tiling
            Size of a window.
        classes, history : int
            Of the model.
        """
        n_bytes = (history + SUM_BYTES * classes) * tiling.window**2
        copy_seconds = n_bytes / (device.link * 1e9)
        worst, best = device.utilisation
        peak_seconds = flops / (device.tflops * 1e12)
        forward = Range(peak_seconds / best + copy_seconds, peak_seconds / worst + copy_seconds)
        source = (
            f"not measured: {flops / 1e9:.1f} GFLOP at {worst:.0%}-{best:.0%} of "
            f"{device.tflops:g} TFLOP/s and {n_bytes / 1e6:.1f} MB at {device.link:g} GB/s are "
            f"{1000 * forward.low:.1f}-{1000 * forward.high:.1f} ms"
        )
        return cls(forward, source)


def _host_seconds(tiling: Tiling, width: int) -> float:
    return (STEM_SECONDS * width + SUMS_SECONDS) * tiling.window**2
