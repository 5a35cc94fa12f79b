"""Keeping identities out: pseudonyms, what goes of a DICOM header, text in pictures, sign-off and withdrawal."""
