"""Publish the finished product as a STAC catalog.

ray job submit --working-dir . -- python jobs/publish.py RUN.toml [what `luray publish` takes]
"""

from luray.cli.app import main

if __name__ == "__main__":
    main("publish")
