"""Turns bytes into documents: file formats, compression, and the plan that cuts inputs into blocks."""
