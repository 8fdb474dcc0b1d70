"""Train a model of each direction, from its last checkpoint on.

ray job submit --working-dir . -- python jobs/train.py RUN.toml [what `luray train` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("train")
