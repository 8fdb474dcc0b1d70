"""Ask the fork server for a worker of Ray: `tests.fork_server` says why.

Ray's node manager runs this with the words of its own `setup_worker.py`. It imports next to nothing.
"""

import json
import os
import socket
import sys

request = {"words": sys.argv[1:], "environment": dict(os.environ)}
with socket.socket(socket.AF_UNIX) as server:
    server.connect(os.environ["LURAY_TESTS_FORK_SERVER"])
    socket.send_fds(server, [b"+"], [1, 2])
    server.sendall(json.dumps(request).encode())
