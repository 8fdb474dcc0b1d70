"""The command line: it parses, calls a stage of `luray.stages`, and prints."""
