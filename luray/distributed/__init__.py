"""Ray wiring, and the only package that imports ray: it decides where and when functions of the
layers below run.
"""

import os
import secrets

# Ray reads these on import, so they are set before any module of this package imports it.
# A cluster of our own gets a token of its own, so that nobody else can use it.
if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
