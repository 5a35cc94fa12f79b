"""Federated pre-training on Flower: sites train where their images lie, the coordinator sees weights and counts only.

Flower's telemetry is switched off here, before Flower is imported anywhere below.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
