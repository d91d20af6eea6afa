"""This project's tokenizers as TensorFlow operations: strings to the same ids, in a graph."""
