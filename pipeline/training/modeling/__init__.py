"""Layers and models, named and computing as tensorflow/models' `official.nlp.modeling`."""

# A saved model is made of these classes: whoever imports one of them can load it.
from pipeline.training.modeling import (  # noqa: F401
    albert_encoder,
    bert_encoder,
    bert_pretrainer,
    classification_head,
    masked_lm,
)
