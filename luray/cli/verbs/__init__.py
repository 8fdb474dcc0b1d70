"""The verbs of the command line, one file a group; `luray.cli.app` puts them together.

A verb is a function that parses its options; the function below it, of the same name with an
underscore, does the work and prints. What a verb computes with is imported in its function, after
the run file has been read: it takes seconds, and neither `--help` nor a mistake in the options or
in the run file waits for torch or Ray.
"""
