"""Choosing the tokens to predict, and replacing them."""

from pipeline.masking.masking import Masked, mask_examples
from pipeline.masking.policy import UNITS, MaskingPolicy, prediction_counts

__all__ = ["UNITS", "Masked", "MaskingPolicy", "mask_examples", "prediction_counts"]
