"""The exercises: a module for each chapter, which defines EXERCISES."""

from . import consumers, first, groups, partitions, producers, rebalancing, shop_design, shop_sequence

CHAPTERS = [first, producers, partitions, consumers, groups, rebalancing, shop_design, shop_sequence]
EXERCISES = [exercise for chapter in CHAPTERS for exercise in chapter.EXERCISES]
