"""Chunks that a store or file does not hold.

Libraries read such a chunk as a fill value, whether or not anybody has declared that it means
missing.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.arithmetic import ceil_div
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
    values : array
        What was read at `index`, in any shape.
    index : tuple
        Whole numbers and slices of step 1, one for each dimension.
    shape, chunks : sequence of int
        Of the array.
    fill : scalar or None
        The value that absent chunks are read as; None where there is none.
    attributes : mapping
        Attributes of the variable.
    is_stored : callable
        Whether a chunk, by its number along each dimension, is there. It is asked only of chunks
        whose values are all `fill`.
    where : str
        The variable and its file, for messages.

    Raises
    ------
    InputError
        Naming the first chunk that is not there.
    """
    if fill is None or values.dtype.kind not in "iuf" or np.isnan(fill):
        return
    if _is_declared(attributes, fill) or not (values == fill).any():
        return

    # Along each dimension: the cells that were read, and the numbers of the chunks that hold them.
    spans = [_span(part, length) for part, length in zip(index, shape, strict=True)]
    read_values = values.reshape([stop - start for start, stop in spans])
    chunk_numbers = [
        range(start // size, ceil_div(stop, size))
        for (start, stop), size in zip(spans, chunks, strict=True)
    ]

    for chunk in product(*chunk_numbers):
        inside = tuple(map(_part_of_chunk, chunk, chunks, spans))
        # To look a chunk up costs a request, and a chunk with any other value is there.
        if (read_values[inside] == fill).all() and not is_stored(chunk):
            raise InputError(
                f"{where} lacks the chunk {'.'.join(map(str, chunk))}, which would be read as "
                f"{fill}, a value; expected every chunk, or a `_FillValue` that declares what "
                "lacks as missing: get the file again, or write it with its empty chunks"
            )


def _span(part: int | slice, length: int) -> tuple[int, int]:
    """Return the first cell of one part of an index, and the one behind its last."""
    if isinstance(part, int):
        part = slice(part, part + 1)
    start, stop, _ = part.indices(length)
    return start, stop


def _part_of_chunk(number: int, size: int, span: tuple[int, int]) -> slice:
    """Return the cells of a chunk along one dimension, counted from the start of the span."""
    start, stop = span
    return slice(max(start, number * size) - start, min(stop, (number + 1) * size) - start)


def _is_declared(attributes: Mapping[str, Any], fill: Any) -> bool:
    """Return whether an attribute declares that the fill value means missing."""
    for name, declared in attributes.items():
        if name.lower().replace("_", "") not in FILL_ATTRIBUTES:
            continue
        for value in np.ravel(declared):
            if np.issubdtype(type(value), np.number) and np.isclose(value, fill, rtol=1e-6):
                return True
    return False
