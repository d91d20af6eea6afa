"""The sample corpus, extracted from the documentation of installed packages."""
