"""Methods: ways of asking an encoder, from reading its frozen features to training it further."""
