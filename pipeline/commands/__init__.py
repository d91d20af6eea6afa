"""The verbs of the command line, one per module: each adds its parser and calls the library."""
