"""Build the predictor cube, or what is missing of it.

ray job submit --working-dir . -- python jobs/build_cube.py RUN.toml [what `luray build` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("build")
