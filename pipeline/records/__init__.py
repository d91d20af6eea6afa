"""The record format: what a TFRecord of examples holds, and how it is encoded and decoded."""
