"""`python -m luray.cli`: the command line, as `luray` has it."""

from luray.cli.app import main

if __name__ == "__main__":
    main()
