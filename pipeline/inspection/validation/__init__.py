"""Re-reading a corpus to see whether it is what its manifest and the record contract say."""
