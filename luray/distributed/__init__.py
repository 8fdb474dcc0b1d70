"""Ray wiring, and the only package that imports ray: it decides where and when functions of the
layers below run.
"""

import os
import secrets
import sys

# A cluster of our own gets a token of its own, so that nobody else can use it. Ray reads these
# variables on import, so they are set before any module of this package imports it. A program that
# has imported Ray already has decided how its clusters are protected: a token that only their
# processes knew would lock the program out.
if "RAY_ADDRESS" not in os.environ and "ray" not in sys.modules:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
