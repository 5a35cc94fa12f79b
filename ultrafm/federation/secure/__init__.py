"""Secure aggregation: sums of the sites' updates of which the coordinator sees no single one. See README.md.

Experimental until it has been reviewed outside of this project.
"""
