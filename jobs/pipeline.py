"""Every stage that is not done yet.

ray job submit --working-dir . -- python jobs/pipeline.py RUN.toml [what `luray run` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("run")
