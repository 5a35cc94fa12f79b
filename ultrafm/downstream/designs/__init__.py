"""Designs: which encoders are compared, on which patients and with how many labels; `runs` asks them all."""
