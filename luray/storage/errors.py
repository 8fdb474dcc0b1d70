"""TO BE WRITTEN."""

from luray.storage.places import without_secrets


class InputError(ValueError):
    """Input data that luray refuses: names the file, what was expected, what was found, and what to
    do.

    The signature of a signed URL is left out of the message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))
