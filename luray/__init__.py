"""luray: annual land use at 1 km over the globe, 1850-2100."""

import os

WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""How OpenMP threads wait for each other: asleep. By default they spin, and beside any other busy process a training
falls to a fraction of its speed."""

# OpenMP reads its environment once, when torch is imported, which happens below this package and nowhere above it.
# Processes that are started from here on inherit it. A value of the user's own wins.
for _name, _value in WAIT_POLICY.items():
    os.environ.setdefault(_name, _value)
