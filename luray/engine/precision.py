"""The precision of a model's trunk on a CPU, and which CPUs have it.

bfloat16 has the range of float32 and 8 significant bits for its 24. CPUs with AVX512-BF16 or AMX
multiply it twice as fast or faster. On all others torch converts every number there and back: that
is slower than float32, and its sums are rounded otherwise. So a CPU without these instructions
refuses a run in bfloat16.

Only the trunk computes in bfloat16. Its first layer, its head, the calibration and the sums are as
they are in float32: a logit of 8 significant bits would be too coarse.
"""

from copy import deepcopy

import torch

from luray.core.config import CpuPrecision
from luray.engine.trunk import Trunk

BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Any one of them is enough, as `torch.cpu.get_capabilities` names them."""


def trunk_of_precision(trunk: Trunk, precision: CpuPrecision) -> Trunk:
    """Return a trunk in a precision of the CPU; in float32 it is the trunk itself.

    Raises
    ------
    ValueError
        For bfloat16 on a CPU that has no instructions for it.
    """
    if precision == "float32":
        return trunk
    require_bfloat16()
    head = deepcopy(trunk.head)
    copy = deepcopy(trunk).to(torch.bfloat16)
    copy.head = head
    return copy


def require_bfloat16() -> None:
    """Raise ValueError on a CPU that has no instructions for bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    if any(capabilities.get(name) for name in BFLOAT16_INSTRUCTIONS):
        return
    raise ValueError(
        f"inference.precision is 'bfloat16', which needs a CPU with one of "
        f"{' and '.join(BFLOAT16_INSTRUCTIONS)}; {capabilities.get('cpu_name') or 'this CPU'} has "
        "neither. Leave inference.precision out and give the product another output, or use other "
        "machines"
    )
