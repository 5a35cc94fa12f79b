"""Own weights: an encoder of anybody's on the tasks of a study, beside the encoders that the study has."""
