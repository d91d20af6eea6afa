"""The training stage: tensorflow/models' masked-LM classes, rebuilt on Keras 3.

Names are imported when they are first used: configurations come without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.training import bert, configs, encoders, masked_lm, task_factory
    from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
    from pipeline.training.configs import DataConfig, ExperimentConfig
    from pipeline.training.encoders import (
        AlbertEncoderConfig,
        BertEncoderConfig,
        EncoderConfig,
        ModernBertEncoderConfig,
        build_encoder,
    )
    from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask
    from pipeline.training.modeling.albert_encoder import AlbertEncoder
    from pipeline.training.modeling.bert_encoder import BertEncoder
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
    from pipeline.training.modeling.classification_head import ClassificationHead
    from pipeline.training.modeling.masked_lm import MaskedLM
    from pipeline.training.modeling.modernbert_encoder import ModernBertEncoder
    from pipeline.training.modeling.text_input import TextInput

__all__ = [
    "AlbertEncoder",
    "AlbertEncoderConfig",
    "BertEncoder",
    "BertEncoderConfig",
    "BertPretrainerV2",
    "ClassificationHead",
    "ClsHeadConfig",
    "DataConfig",
    "EncoderConfig",
    "ExperimentConfig",
    "MaskedLM",
    "MaskedLMConfig",
    "MaskedLMTask",
    "ModernBertEncoder",
    "ModernBertEncoderConfig",
    "PretrainerConfig",
    "TextInput",
    "bert",
    "build_encoder",
    "configs",
    "encoders",
    "masked_lm",
    "task_factory",
]

_MODULES = {
    "AlbertEncoder": "modeling.albert_encoder",
    "AlbertEncoderConfig": "encoders",
    "BertEncoder": "modeling.bert_encoder",
    "BertEncoderConfig": "encoders",
    "BertPretrainerV2": "modeling.bert_pretrainer",
    "ClassificationHead": "modeling.classification_head",
    "ClsHeadConfig": "bert",
    "DataConfig": "configs",
    "EncoderConfig": "encoders",
    "ExperimentConfig": "configs",
    "MaskedLM": "modeling.masked_lm",
    "MaskedLMConfig": "masked_lm",
    "MaskedLMTask": "masked_lm",
    "ModernBertEncoder": "modeling.modernbert_encoder",
    "ModernBertEncoderConfig": "encoders",
    "PretrainerConfig": "bert",
    "TextInput": "modeling.text_input",
    "build_encoder": "encoders",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, name)}")
    return getattr(module, name) if name in _MODULES else module
