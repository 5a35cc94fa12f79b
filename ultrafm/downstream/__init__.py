"""Downstream: what an encoder is worth for diagnosis and segmentation, with an interval on every number."""
