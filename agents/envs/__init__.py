"""Worlds in which what pays has to be found out anew in every life."""
