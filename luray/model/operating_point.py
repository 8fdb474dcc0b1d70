"""How much change a model is let predict, and the two numbers that decide it.

They are fitted by `luray.model.calibration`, which needs SciPy; a run file and a worker that
predicts only need the numbers.
"""

from typing import Literal, NamedTuple

OperatingPoint = Literal["cautious", "unbiased"]
"""How much change a calibrated model predicts.

Cautious: as much as does not cost accuracy. Unbiased: as much as is observed.
"""


class Calibration(NamedTuple):
    """Temperature that the logits are divided by, and the bias that the prior's class gets then."""

    temperature: float = 1.0
    bias: float = 0.0


NO_CALIBRATION = Calibration()
"""Leaves the logits as the weights give them."""
