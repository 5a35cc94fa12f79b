"""Exchange of weights with other projects: reading their checkpoints, writing their forms, and the model card."""
