"""This project's tokenizers as TensorFlow operations: strings to the same ids, within a graph."""
