"""Layers and models, named and computing as tensorflow/models' `official.nlp.modeling`."""
