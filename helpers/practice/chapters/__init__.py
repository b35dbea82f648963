"""The exercises: a module for each chapter, which defines EXERCISES."""

from . import consumers, first, groups, partitions, producers, rebalancing

CHAPTERS = [first, producers, partitions, consumers, groups, rebalancing]
EXERCISES = [exercise for chapter in CHAPTERS for exercise in chapter.EXERCISES]
