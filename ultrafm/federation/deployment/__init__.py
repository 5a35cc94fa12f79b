"""Deployment: keys, plans, processes and proxy that carry the federation from one machine to hospitals, over Flower."""
