"""What the live cluster says, as DataFrames: topics, records, offsets and lag, members, replicas."""

from .groups import group_state, members
from .offsets import offsets
from .records import records, text
from .topics import replicas, topics
from .watching import watch

__all__ = ["group_state", "members", "offsets", "records", "replicas", "text", "topics", "watch"]
