"""Layers and models, named and computing as tensorflow/models' `official.nlp.modeling`.

Importing this package registers the classes of saved models, so that Keras can load them.
"""

from pipeline.training.modeling.albert_encoder import AlbertEncoder
from pipeline.training.modeling.bert_encoder import BertEncoder, BertEncoderV2
from pipeline.training.modeling.bert_pretrainer import BertPretrainer, BertPretrainerV2
from pipeline.training.modeling.classification_head import ClassificationHead, MultiClsHeads
from pipeline.training.modeling.masked_lm import MaskedLM
from pipeline.training.modeling.modernbert_encoder import ModernBertEncoder
from pipeline.training.modeling.on_device_embedding import OnDeviceEmbedding
from pipeline.training.modeling.position_embedding import PositionEmbedding
from pipeline.training.modeling.self_attention import SelfAttention
from pipeline.training.modeling.text_input import TextInput
from pipeline.training.modeling.transformer_encoder_block import TransformerEncoderBlock

__all__ = [
    "AlbertEncoder",
    "BertEncoder",
    "BertEncoderV2",
    "BertPretrainer",
    "BertPretrainerV2",
    "ClassificationHead",
    "MaskedLM",
    "ModernBertEncoder",
    "MultiClsHeads",
    "OnDeviceEmbedding",
    "PositionEmbedding",
    "SelfAttention",
    "TextInput",
    "TransformerEncoderBlock",
]
