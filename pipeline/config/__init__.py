"""Options: frozen dataclasses, built from YAML and from command-line flags."""
