"""Differential privacy: what leaves a site, or the coordinator, hardly depends on any one patient, or any one site."""
