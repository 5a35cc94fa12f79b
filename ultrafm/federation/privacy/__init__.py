"""Differential privacy: what leaves a site, or the coordinator, hardly depends on any one patient, or any one site.

Noise, its accountant, budgets with their ledger, and what a run has spent; the loops that use it are outside.
"""
