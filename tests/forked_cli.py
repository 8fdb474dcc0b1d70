"""`python -m tests.forked_cli`: the command line, with workers as `tests.fork_server` forks them."""

from luray.cli.app import main
from tests.fork_server import forked_workers

if __name__ == "__main__":
    with forked_workers():
        main()
