"""Keys of the run file that had another name: the old one is an error that names the new one."""

from collections.abc import Mapping

BASE_MAPS = (
    "base_maps of the hilda source, which holds for training and evaluation alike: "
    '"base maps" is now base_maps = "leave out", its default, "nothing" is base_maps = "keep"'
)

RENAMED_KEYS: Mapping[str, str] = {
    "evaluation.leave_out": BASE_MAPS,
    "training.leave_out": BASE_MAPS,
    "training.read": (
        'training.windows_read_by: "late" is now "consumer", "ahead" is now "readers"'
    ),
}
"""The new key for each old one, by their dotted names."""
