"""The record contract: what is in a TFRecord of examples, and how it is encoded and decoded."""
