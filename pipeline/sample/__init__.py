"""The sample corpus, out of the documentation of installed packages."""
