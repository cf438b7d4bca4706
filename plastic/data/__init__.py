"""Datasets as uint8 tensors: packed files, downloads, and stand-ins made by the program."""

from plastic.data.characters import Characters, GeneratedDataWarning, load_characters, load_digits
from plastic.data.download import load_arrays
from plastic.data.labelled import Labelled, load_labelled
from plastic.data.packs import data_root
from plastic.data.pictures import Pictures, load_pictures

__all__ = [
    "Characters",
    "GeneratedDataWarning",
    "Labelled",
    "Pictures",
    "data_root",
    "load_arrays",
    "load_characters",
    "load_digits",
    "load_labelled",
    "load_pictures",
]
