"""Chunks that a store or file does not hold, which libraries read as a fill value that nobody has
declared.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.storage.errors import InputError

FILL_ATTRIBUTES = ("fillvalue", "missingvalue")
"""Names of attributes that declare missing values, in lower case without underscores.

LUH2 misspells `_FillValue`.
"""

ArrayIndex = tuple[int | slice, ...]


def require_chunks(
    values: NDArray[Any],
    index: ArrayIndex,
    *,
    shape: Sequence[int],
    chunks: Sequence[int],
    fill: Any,
    attributes: Mapping[str, Any],
    is_stored: Callable[[tuple[int, ...]], bool],
    where: str,
) -> None:
    """Raise InputError if values that were read come from a chunk that is not there.

    Such a chunk is read as the array's fill value. That is right where an attribute declares the
    fill value missing, and NaN is missing anyway; otherwise it would be taken for a value, often 0.

    Parameters
    ----------
    values
        What was read at `index`, in any shape.
    index
        Whole numbers and slices of step 1, one for each dimension.
    shape, chunks
        Of the array.
    fill
        The value that absent chunks are read as; None where there is none.
    attributes
        Attributes of the variable.
    is_stored
        Whether a chunk, by its number along each dimension, is there. It is asked only of chunks
        whose values are all `fill`.
    where
        The variable and its file, for messages.
    """
    if fill is None or values.dtype.kind not in "iuf" or np.isnan(fill):
        return
    if _is_declared(attributes, fill) or not (values == fill).any():
        return

    spans = []
    for part, length in zip(index, shape, strict=True):
        start, stop, _ = (
            slice(part, part + 1).indices(length) if isinstance(part, int) else part.indices(length)
        )
        spans.append((start, stop))
    read = values.reshape([stop - start for start, stop in spans])
    numbers = [
        range(start // n, -(-stop // n)) for (start, stop), n in zip(spans, chunks, strict=True)
    ]
    for chunk in product(*numbers):
        inside = tuple(
            slice(max(start, number * n) - start, min(stop, (number + 1) * n) - start)
            for (start, stop), n, number in zip(spans, chunks, chunk, strict=True)
        )
        if (read[inside] == fill).all() and not is_stored(chunk):
            raise InputError(
                f"{where} lacks the chunk {'.'.join(map(str, chunk))}, which would be read as "
                f"{fill}, a "
                "value; expected every chunk, or a `_FillValue` that declares what lacks as "
                "missing: get "
                "the file again, or write it with its empty chunks"
            )


def _is_declared(attributes: Mapping[str, Any], fill: Any) -> bool:
    """Whether an attribute says that the fill value means missing."""
    for name, declared in attributes.items():
        if name.lower().replace("_", "") not in FILL_ATTRIBUTES:
            continue
        for value in np.ravel(declared):
            if np.issubdtype(type(value), np.number) and np.isclose(value, fill, rtol=1e-6):
                return True
    return False
