"""The exercises: a module for each chapter, which defines EXERCISES."""

from . import consumers, first, partitions, producers

CHAPTERS = [first, producers, partitions, consumers]
EXERCISES = [exercise for chapter in CHAPTERS for exercise in chapter.EXERCISES]
