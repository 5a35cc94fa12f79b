"""Measurement: lengths and angles from masks and from pictures, in physical units or pixels, or the reason for none."""
