"""What cells remember, as `luray.model.model_input.memory_channels` gives it, compiled for CPUs.

The twin in torch passes over all cells for every map and class. Here each cell is looked at once.
Both count in whole numbers, so they have the same bits. The loop over a cell's maps stands in
`luray.engine.stem_kernels` as well: compiled code may use only what stands in its own file (see
`luray.core.compiled`).

Shapes: B batch, N maps from the newest, M channels of the memory, K classes, H W window.
"""

import numpy as np
import torch
from torch import Tensor

from luray.core.compiled import compiled
from luray.core.legend import OUTSIDE
from luray.core.types import F32, I64, U8
from luray.model.memory import WEIGHTS, change_scale, known_scale, seen_ages, share_scale
from luray.model.model_input import Memory, memory_channels


def fast_memory_channels(maps_BNHW: Tensor, *, n_classes: int) -> Memory:
    """Return what `memory_channels` does, on a CPU in a fraction of the time."""
    if maps_BNHW.device.type != "cpu":
        return memory_channels(maps_BNHW, n_classes=n_classes)

    n_samples, n_maps, height, width = maps_BNHW.shape
    n_cells = height * width
    memory_BPM = np.empty((n_samples, n_cells, 2 * n_classes + 3), np.float32)
    last_other_BP = np.empty((n_samples, n_cells), np.uint8)
    maps_BNP = maps_BNHW.reshape(n_samples, n_maps, n_cells).numpy()
    for maps_NP, memory_PM, last_other_P in zip(maps_BNP, memory_BPM, last_other_BP, strict=True):
        _remember(
            maps_NP,
            memory_PM,
            last_other_P,
            WEIGHTS[:n_maps],
            seen_ages(n_maps),
            np.array([share_scale(n_maps), change_scale(), known_scale(n_maps)], np.float32),
            n_classes,
            OUTSIDE,
        )
    memory_BHWM = torch.from_numpy(memory_BPM).reshape(n_samples, height, width, -1)
    last_other_BHW = torch.from_numpy(last_other_BP).reshape(n_samples, height, width)
    return Memory(memory_BHWM.permute(0, 3, 1, 2), last_other_BHW)


@compiled
def _remember(
    maps_NP: U8,
    memory_PM: F32,
    last_other_P: U8,
    weight_N: I64,
    age_N: F32,
    scales: F32,
    n_classes: int,
    outside: int,
) -> None:
    """Write the memory of cells P, which lie one behind the other."""
    n_maps, n_cells = maps_NP.shape
    share_K = np.zeros(n_classes, np.int64)
    for p in range(n_cells):
        memory_M = memory_PM[p]
        last_other_P[p] = outside
        if maps_NP[0, p] == outside:
            memory_M[:] = np.float32(0)
            continue

        share_K[:] = 0
        past_changes = 0
        n_known = 0
        age = -1
        class_now = -1
        last_other = -1
        newer = -1  # the next newer map that is known, and its weight
        newer_weight = 0
        for n in range(n_maps):
            code = int(maps_NP[n, p])
            if code >= n_classes:
                continue  # not known
            n_known += 1
            share_K[code] += weight_N[n]
            if newer >= 0 and code != newer:
                past_changes += newer_weight
            newer = code
            newer_weight = weight_N[n]
            if class_now < 0:
                class_now = code
            if last_other < 0 and code != class_now:
                last_other = code
            if last_other < 0:
                age += 1

        for k in range(n_classes):
            memory_M[k] = np.float32(share_K[k]) * scales[0]
            memory_M[n_classes + k] = np.float32(1) if k == last_other else np.float32(0)
        memory_M[2 * n_classes] = age_N[max(age, 0)]
        memory_M[2 * n_classes + 1] = np.float32(past_changes) * scales[1]
        memory_M[2 * n_classes + 2] = np.float32(n_known) * scales[2]
        if last_other >= 0:
            last_other_P[p] = last_other
