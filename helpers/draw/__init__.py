"""DataFrames as figures. Each function shows its figure, prints it as a line of text, and returns None."""

from .key_flow import keys_to_partitions_figure
from .lag_line import lag_figure
from .log_boxes import partition_log_figure
from .move_grid import key_moves_figure
from .offset_bars import offsets_figure
from .owner_rows import ownership_figure
from .ratio_bars import bars_figure
from .sequence_chart import sequence_figure, sequence_mermaid, sequence_svg, sequence_text
from .state_machine import state_machine_figure
from .step_lines import steps_figure
from .style import DrawError, palette, shown
from .time_rows import time_rows_figure

partition_log = shown(partition_log_figure)
offsets = shown(offsets_figure)
lag = shown(lag_figure)
ownership = shown(ownership_figure)
keys_to_partitions = shown(keys_to_partitions_figure)
key_moves = shown(key_moves_figure)
bars = shown(bars_figure)
steps = shown(steps_figure)
sequence = shown(sequence_figure)
time_rows = shown(time_rows_figure)
state_machine = shown(state_machine_figure)

__all__ = [
    "DrawError",
    "bars",
    "key_moves",
    "keys_to_partitions",
    "lag",
    "offsets",
    "ownership",
    "palette",
    "partition_log",
    "sequence",
    "sequence_mermaid",
    "sequence_svg",
    "sequence_text",
    "state_machine",
    "steps",
    "time_rows",
]
