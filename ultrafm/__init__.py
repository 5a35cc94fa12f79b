"""UltraFM: federated ultrasound foundation models, from 16 site manifests to a report.

One room per step; data flows from top to bottom: manifests, phantom, curation, pretraining, federation, downstream,
readers, reporting. Rooms hand each other files, so every step can be run again from its input.
"""

__version__ = "0.1.0"
