"""Heads on disk: what was fitted on top of a frozen encoder for one task, and its answers for new pictures."""
