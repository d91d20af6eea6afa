"""Models in other projects' formats: out of a run, and in as the start of one."""
