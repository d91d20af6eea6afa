"""Bytes to documents: file formats, compression, and the plan that cuts inputs into blocks."""
