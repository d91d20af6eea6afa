"""Options: frozen dataclasses out of YAML and out of command-line flags."""
