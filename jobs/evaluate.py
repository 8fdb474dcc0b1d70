"""Score rollouts against maps that training has not seen.

ray job submit --working-dir . -- python jobs/evaluate.py RUN.toml [what `luray evaluate` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("evaluate")
