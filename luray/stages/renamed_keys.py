"""Keys of the run file that had another name: the old one is an error that names the new one."""

from collections.abc import Mapping

RENAMED_KEYS: Mapping[str, str] = {
    "training.read": (
        'training.windows_read_by: "late" is now "consumer", "ahead" is now "readers"'
    ),
}
"""What to write in place of an old key, by its dotted name."""
