"""Names for the types that all of luray shares: arrays by the type of their elements, and roles.

An alias says nothing of an array's shape; that stands in the name of the variable
(`logits_BKHW`) or in the docstring.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

Index = I64
"""Positions along an axis of another array."""

Direction = Literal["forward", "backward"]
"""Whether a run walks towards later or earlier years; the prior is the map of the year before in
that direction.
"""

Role = Literal["state", "forcing", "static"]
"""What a variable is to the model.

The state is the fine map that is predicted, a forcing changes with the year, a static does not.
"""
