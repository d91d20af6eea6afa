"""The command line's verbs, one a module: each adds its parser and calls what does the work."""
