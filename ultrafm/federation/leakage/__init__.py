"""Attacks as measurement: how much of a site's pictures can be told from models, updates and losses that it lets go.

They take weights, updates or losses as they are seen, so the same attack runs against any protection. Nothing here
protects anything; sites that send what they should not are in `attacks.py`, one room up.
"""
