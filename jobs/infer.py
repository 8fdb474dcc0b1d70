"""Compute the product, or what is missing of it. After SIGTERM the tile-years in hand are finished
first.

ray job submit --working-dir . -- python jobs/infer.py RUN.toml [what `luray infer` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("infer")
