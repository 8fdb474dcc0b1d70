"""TO BE WRITTEN."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


F32 = NDArray[np.float32]


F64 = NDArray[np.float64]


I32 = NDArray[np.int32]


Bool = NDArray[np.bool_]


Role = Literal["state", "forcing", "static"]


Direction = Literal["forward", "backward"]
