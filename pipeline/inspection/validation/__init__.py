"""Re-reads a corpus and checks it against its manifest and the record format."""
