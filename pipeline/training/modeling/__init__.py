"""Layers and models, named and computing as tensorflow/models' `official.nlp.modeling`."""

# Importing this package registers the classes of saved models, so that Keras can load them.
from pipeline.training.modeling import (  # noqa: F401
    albert_encoder,
    bert_encoder,
    bert_pretrainer,
    classification_head,
    masked_lm,
)
