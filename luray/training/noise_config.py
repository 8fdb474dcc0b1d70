"""How the prior map is corrupted in training, as a run file gives it.

None by default: a model that remembers sees the class that noise hides in the map before, and
learned less with noise than without (`luray/SKILL.md`).
"""

from typing import Literal

from luray.core.config import Config
from luray.training.ramps import Ramp, constant

NoiseKind = Literal["mask", "replace", "jitter"]
"""mask: the class of a cell is hidden; replace: it is a random one, by chance the true one; jitter,
of values: it is off by an error like the model's own, see `noise.JITTER`.
"""


class NoiseConfig(Config):
    """Share of land cells whose prior is corrupted, and how."""

    share: Ramp = constant(0)
    kind: NoiseKind = "mask"
