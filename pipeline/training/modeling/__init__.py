"""Layers and models, named and computing as tensorflow/models' `official.nlp.modeling`."""

# A saved model is made of these classes: whoever imports one of them can load it.
from pipeline.training.modeling import bert_encoder, bert_pretrainer, classification_head, masked_lm  # noqa: F401
