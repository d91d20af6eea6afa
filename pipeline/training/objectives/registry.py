"""The objectives that models are trained by. A new one is a module with its class, and one entry here."""

from __future__ import annotations

from pipeline.training.objectives.base import ClassificationObjective, Objective
from pipeline.training.objectives.masked_lm import MaskedLMObjective

MASKED_LM = MaskedLMObjective(
    name="masked_lm",
    title="masked-LM",
    loss_name="lm_example_loss",
    accuracy_name="masked_lm_accuracy",
    prefix="lm",
    labels=("masked_lm_ids", "masked_lm_weights"),
)
NEXT_SENTENCE = ClassificationObjective(
    name="next_sentence",
    title="next-sentence",
    loss_name="next_sentence_loss",
    accuracy_name="next_sentence_accuracy",
    prefix="sentence",
    labels=("next_sentence_labels",),
    weights="next_sentence_weights",
)
# In the order of tables. All but the first are trained where a model has a classification head of their name.
OBJECTIVES: list[Objective] = [MASKED_LM, NEXT_SENTENCE]
