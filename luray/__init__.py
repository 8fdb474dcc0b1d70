"""luray: annual land use at 1 km over the globe, 1850-2100."""

from luray.core.processes import use_passive_waiting

use_passive_waiting()
