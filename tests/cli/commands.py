"""Command lines in processes of their own: python -m tests.cli.commands

The processes are forks of this one, which has imported what most commands begin with: the command
line, and what reads a run file. Each line of the input is a JSON list of words. The answer is a line with what the command said, its
exit code at the end, and the names of all modules that its process has.
"""

import json
import os
import sys
import tempfile
from typing import IO

import luray.stages.run_file  # noqa: F401
from luray.cli.app import main


def answer(words: list[str]) -> str:
    """Run a command line in a fork of this process, and return its answer."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as modules:
        process = os.fork()
        if process == 0:
            run(words, said, modules)
        os.waitpid(process, 0)
        said.seek(0)
        modules.seek(0)
        return json.dumps([said.read(), modules.read().split()])


def run(words: list[str], said: IO[str], modules: IO[str]) -> None:
    """Run a command line, write down what it has imported, and end this process."""
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    sys.argv = ["luray", *words]
    try:
        main()
    except SystemExit as end:
        print("exit code", end.code or 0, flush=True)
    # before this function imports anything itself
    modules.write("\n".join(sys.modules))
    modules.flush()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(json.loads(line)), flush=True)
