import json
import subprocess
import sys

HELD = 200 * 2**20
BUSY = f"""
import time
held = b"1" * {HELD}
while time.process_time() < 1:
    pass
print(flush=True)
input()
"""
WATCHING = f"""
import json, os, subprocess, sys
import psutil
from luray.bench.watch import Watch, family, proportional_bytes
with Watch(every=0.05) as quiet:
    pass
with Watch() as watch:  # which looks once more at the end
    child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
process = psutil.Process(child.pid)
is_family = process in family(os.getpid())
held = proportional_bytes(process)
child.communicate(b"\\n")
more_memory = watch.peak - quiet.peak
cpu_seconds = watch.cpu_seconds - quiet.cpu_seconds
print(json.dumps([is_family, held, proportional_bytes(process), more_memory, cpu_seconds]))
"""


def test_memory_and_time_of_children_count():
    """In a process that has no other children: a cluster's would come and go meanwhile."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHING], capture_output=True, text=True, check=True
    )
    is_family, held, held_afterwards, more_memory, cpu_seconds = json.loads(done.stdout)
    assert is_family
    assert held > HELD
    assert held_afterwards == 0
    assert more_memory > HELD
    assert 0.9 < cpu_seconds < 5
