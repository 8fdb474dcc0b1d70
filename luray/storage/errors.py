"""The error of input data that luray refuses."""

from luray.storage.places import without_secrets


class InputError(ValueError):
    """Input data that luray refuses.

    The message names the file, what was expected, what was found, and what to do. The signature of
    a signed URL is left out of it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))
