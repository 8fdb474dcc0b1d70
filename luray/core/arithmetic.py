"""Arithmetic of whole numbers."""


def ceil_div(number: int, divisor: int) -> int:
    """Divide whole numbers and round up, such as for the blocks that cover a row of cells.

    Parameters
    ----------
    number : int
        What is divided.
    divisor : int
        What it is divided by, positive.

    Returns
    -------
    int
        The smallest whole number that is not below the quotient. It is exact for whole numbers of
        any size, which `math.ceil(number / divisor)` is not.

    Examples
    --------
    >>> ceil_div(7, 3), ceil_div(6, 3), ceil_div(-1, 3)
    (3, 2, 0)
    """
    return -(-number // divisor)
