"""The figures: what they say, that their text can be read, and that they look as they did.

python -m tests.unit.test_draw      draws the baseline images again, after a change that is meant
"""

import io
import itertools
import random
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.style
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text
from PIL import Image

from helpers import draw
from helpers.draw import style
from helpers.draw.key_flow import keys_to_partitions_figure
from helpers.draw.lag_line import lag_figure
from helpers.draw.log_boxes import boxes, partition_log_figure
from helpers.draw.move_grid import key_moves_figure
from helpers.draw.offset_bars import offsets_figure
from helpers.draw.owner_rows import ownership_figure, read_gaps, read_spans
from helpers.draw.ratio_bars import bars_figure
from helpers.draw.sequence_chart import sequence_figure
from helpers.draw.state_machine import state_machine_figure
from helpers.draw.step_lines import steps_figure
from helpers.draw.time_rows import time_rows_figure

BASELINES = Path(__file__).with_name("draw_baselines")
TOLERANCE = 2  # RMS of the difference, of 255
PER_SECOND = "records per second"


def records(*rows):
    """One row for each partition: its keys in the order of their offsets; "." is an offset without a record."""
    found = [(p, o, None if k == "-" else k) for p, keys in enumerate(rows) for o, k in enumerate(keys.split())]
    return pd.DataFrame([row for row in found if row[2] != "."], columns=["partition", "offset", "key"])


def offsets(*rows):
    columns = ["partition", "beginning", "committed", "position", "end"]
    return pd.DataFrame(rows, columns=columns).astype("Int64")


def balance(**series):
    rows = [(name, step, value) for name, values in series.items() for step, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["series", "step", "value"]).assign(event="deduct 30")


def moves(count, before, after):
    return pd.DataFrame(
        [(f"user-{n}", n % before, n % after) for n in range(count)], columns=["key", "before", "after"]
    )


def group(*events):
    """A timeline: (t, member, event, partitions)."""
    columns = ["t", "member", "event", "partitions"]
    return pd.DataFrame([(*event, [])[:4] for event in events], columns=columns)


def handling(member, since, to, partition=0, pause=0.1):
    """Events of a member that handles records."""
    times = range(round(since / pause), round(to / pause))
    return [(t * pause, member, "handled", [partition]) for t in times]


def story(members, partitions):
    """A group in which each member joins a second after the one before, and the first is killed."""
    events, owned = [], {}
    for number, name in enumerate(members):
        events.append((number, name, "joining"))
        for p in range(partitions):
            if p in owned:
                events.append((number + 0.3, owned[p], "revoked", [p]))
            owned[p] = members[p % (number + 1)]
            events.append((number + 0.4 + p / 1000, owned[p], "assigned", [p]))
        events += handling(name, number + 0.5, len(members) + 5)
    events.append((len(members) + 1, members[0], "killed"))
    return group(*events, (len(members) + 5, members[-1], "handled", [0]))


LOG = records("ana eve eve . ana eve", "ben cho ben -", "")
OFFSETS = offsets(
    (0, 0, 40, 60, 100), (1, 20, 20, 80, 90), (2, 0, None, None, 70), (3, 0, 0, 0, 0), (4, 30, 10, None, 99)
)
LAG = pd.DataFrame({"t": [0, 1, 2, 3, 4], "lag": [0, 5, 200, 90, 3]})
RATES = pd.DataFrame({"setting": ["linger 0", "linger 5", "linger 20"], PER_SECOND: [8123.4, 31877.2, 52011.9]})
STEPS = balance(sent=[100, 70, 120, 40], read=[-30, 70, -10, 40])
MOVES = moves(60, 3, 4)
EVENTS = [(1, "ben joins"), (1.1, "cho joins"), (4, "the last one stops")]

GROUP = group(
    (0, "anna", "started"),
    (0.1, "anna", "joining"),
    (0.3, "anna", "assigned", [0, 1, 2]),
    (2, "ben", "joining"),
    (2.3, "anna", "revoked", [1, 2]),
    (2.7, "ben", "assigned", [1, 2]),
    (5, "ben", "killed"),
    (8.1, "anna", "assigned", [1]),
    (8.1, "cho", "joining"),
    (8.2, "cho", "assigned", [2]),
    (9, "cho", "paused"),
    (11, "anna", "assigned", [2]),
    (11.2, "cho", "resumed"),
    (11.3, "cho", "lost", [2]),
    (12, "anna", "stopping"),
    *handling("anna", 0.3, 12),
    *handling("ben", 2.7, 5, 1, pause=0.05),
    *handling("cho", 8.2, 9, 2),
)
GROUP_LAG = pd.DataFrame({"t": [0, 2, 4, 6, 8, 10, 12], "lag": [0, 3, 1, 60, 180, 40, 0]})
NO_TIME = float("nan")
SEQUENCE = pd.DataFrame(
    [
        ("call", "Customer", "Order API", "POST /orders", None, 0),
        ("reply", "Order API", "Customer", "202; accepted", None, 0.004),
        ("record", "Relay", "Kafka", "deduct 3,000", "balance.command[5]@22", 0.006),
        ("deliver", "Kafka", "Balance", "deduct 3,000", "balance.command[5]@22", 0.009),
        ("note", "Balance", "Balance", "tx committed", "balance.command[5]@22", 0.010),
        ("crash", "Balance", "Balance", "kill -9", "balance.command[5]@22", 0.011),
        ("redeliver", "Kafka", "Balance", "again: deduct 3,000", "balance.command[5]@22", 1.2),
        ("refused", "Kafka", "Balance", "again: deduct 3,000", "balance.command[5]@22", 1.3),
        ("commit", "Balance", "Balance", "", "balance.command[5]@22", 1.301),
        ("reply", "Balance", "Kafka", "deducted", "saga.reply[4]@33", NO_TIME),
    ],
    columns=["kind", "source", "target", "label", "place", "t"],
)
STATES = pd.DataFrame(
    [
        ("stock reserve", "reserved", "payment pay"),
        ("stock reserve", "refused", "CANCELLED"),
        ("stock reserve", "no answer", "stock release"),
        ("payment pay", "paid", "COMPLETED"),
        ("payment pay", "refused", "stock release"),
        ("payment pay", "unknown", "NEEDS_OPERATOR"),
        ("payment pay", "no answer", "NEEDS_OPERATOR"),
        ("stock release", "released", "CANCELLED"),
        ("stock release", "no answer", "NEEDS_OPERATOR"),
    ],
    columns=["state", "on", "next"],
)
STATE_ROWS = [
    [None, "stock reserve", "payment pay", "COMPLETED"],
    ["CANCELLED", "stock release", None, "NEEDS_OPERATOR"],
]
LOAD = pd.DataFrame(
    [("orders a second", t, t * 7 % 30) for t in range(9)]
    + [("seconds of an order", t / 2, 0.3 + t / 20) for t in range(16)]
    + [("lag of stock", t, 0) for t in range(9)],
    columns=["series", "t", "value"],
).assign(mark=lambda frame: frame["series"].map({"seconds of an order": "dot"}))

FIGURES = {
    "partition_log": (lambda f: partition_log_figure(f, {0: 2, 1: 4}, "billing", topic="orders", partitions=3), LOG),
    "offsets": (offsets_figure, OFFSETS),
    "lag": (lambda f: lag_figure(f, EVENTS), LAG),
    "ownership": (lambda f: ownership_figure(f, GROUP_LAG, group="billing"), GROUP),
    "keys_to_partitions": (lambda f: keys_to_partitions_figure(f, partitions=3), LOG),
    "bars": (lambda f: bars_figure(f, "setting", PER_SECOND, baseline="linger 0"), RATES),
    "steps": (steps_figure, STEPS),
    "key_moves": (key_moves_figure, MOVES),
    "sequence": (sequence_figure, SEQUENCE),
    "time_rows": (lambda f: time_rows_figure(f, events=[(4, "last order")]), LOAD),
    "state_machine": (lambda f: state_machine_figure(f, STATE_ROWS, dashed=["no answer"]), STATES),
}
SHOWN = {
    "partition_log": (draw.partition_log, ()),
    "offsets": (draw.offsets, ()),
    "lag": (draw.lag, ()),
    "ownership": (draw.ownership, ()),
    "keys_to_partitions": (draw.keys_to_partitions, ()),
    "bars": (draw.bars, ("setting", PER_SECOND)),
    "steps": (draw.steps, ()),
    "key_moves": (draw.key_moves, ()),
    "sequence": (draw.sequence, ()),
    "state_machine": (draw.state_machine, (STATE_ROWS,)),
    "time_rows": (draw.time_rows, ()),
}
each_figure = pytest.mark.parametrize("name", FIGURES)


def make(name, change=lambda frame: frame):
    figure, frame = FIGURES[name]
    return figure(change(frame.copy()))


def difference(name, change, folder):
    """The RMS between a baseline and the figure of a changed frame; 999 if even the sizes differ."""
    made, card = folder / f"{name}.png", make(name, change)[0]
    made.write_bytes(style.png(card))
    with Image.open(made) as new, Image.open(BASELINES / made.name) as old:
        if new.size != old.size:
            return 999
    found = compare_images(str(BASELINES / made.name), str(made), TOLERANCE, in_decorator=True)
    return found["rms"] if found else 0


@each_figure
def test_figure_looks_as_it_did(name, tmp_path):
    assert difference(name, lambda frame: frame, tmp_path) <= TOLERANCE


CHANGES = {
    "partition_log": lambda frame: frame.drop(1),
    "offsets": lambda frame: frame.assign(position=frame["position"].mask(frame["partition"] == 0)),
    "lag": lambda frame: frame.drop(3),
    "ownership": lambda frame: frame.drop(6),
    "keys_to_partitions": lambda frame: frame.drop(5),
    "bars": lambda frame: frame.assign(**{PER_SECOND: frame[PER_SECOND].mask(frame["setting"] == "linger 5")}),
    "steps": lambda frame: frame.assign(value=frame["value"].replace(-10, 10)),
    "key_moves": lambda frame: frame.drop(7),
    "sequence": lambda frame: frame.drop(5),
    "time_rows": lambda frame: frame.drop(4),
    "state_machine": lambda frame: frame.drop(3),
}


@each_figure
def test_a_figure_without_one_element_does_not_pass(name, tmp_path):
    assert difference(name, CHANGES[name], tmp_path) > TOLERANCE


def clashes(figure):
    """Texts that overlap each other or stand out of the card."""
    pen = figure.canvas.get_renderer()
    figure.draw(pen)
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    places = [(text.get_text(), Text.get_window_extent(text, pen).padded(-1)) for text in texts]
    room = figure.bbox
    out = [text for text, b in places if b.x0 < 0 or b.y0 < 0 or b.x1 > room.x1 or b.y1 > room.y1]
    return out + [(one, two) for (one, a), (two, b) in itertools.combinations(places, 2) if a.overlaps(b)]


def many_records():
    dice = random.Random(1)
    keys = ["ana", "ben", "cho", "dan", "eve", "fay", "gus", "hal", "-"]
    return records(*(" ".join(dice.choices(keys, k=166)) for _ in range(3)))


def long_lag(partitions):
    return pd.DataFrame(
        [(t / 10, p, (t * 7 * p) % 50) for t in range(99) for p in range(partitions)], columns=["t", "partition", "lag"]
    )


FAR = offsets((0, 10**6, 10**6 + 100, 10**6 + 180, 10**6 + 200), (1, 10**6 + 50, 10**6 + 60, 10**6 + 61, 10**6 + 160))
CASES = {
    **{name: lambda name=name: make(name) for name in FIGURES},
    "three records": lambda: partition_log_figure(records("user-1 user-2", "", "-"), partitions=4),
    "40 boxes": lambda: partition_log_figure(records("user-1 user-2 " * 20), {0: 40}),
    "100 boxes": lambda: partition_log_figure(records("user-1 user-2 " * 50), {0: 99}),
    "500 records": lambda: partition_log_figure(many_records(), {0: 100, 1: 0, 2: 166}, "billing", topic="orders"),
    "long gaps": lambda: partition_log_figure(records("ana " + ". " * 1200 + "ana ben"), {0: 1201}),
    "high offsets": lambda: partition_log_figure(records("ana").assign(offset=123_456_789), {0: 123_456_790}),
    "40 partitions": lambda: partition_log_figure(records(*["ana ben"] * 40)),
    "long names": lambda: partition_log_figure(records(*[f"{'long-name-' * 9}{n}" for n in range(9)])),
    "far offsets": lambda: offsets_figure(FAR),
    "close offsets": lambda: offsets_figure(offsets((0, 0, 98, 99, 100), (1, 0, 1, 2, 100), (2, 1, 2, 3, 4))),
    "a consumer": lambda: offsets_figure(offsets((0, 0, None, 60, 100), (1, 20, None, None, 90))),
    "no group": lambda: offsets_figure(offsets((0, 0, None, None, 100), (1, 20, None, None, 90))),
    "lags": lambda: lag_figure(long_lag(6), EVENTS),
    "many lags": lambda: lag_figure(long_lag(9), group="billing"),
    "one lag": lambda: lag_figure(LAG[:1]),
    "many keys": lambda: keys_to_partitions_figure(many_records().assign(key=[f"user-{n % 90}" for n in range(498)])),
    "no keys": lambda: keys_to_partitions_figure(many_records().assign(key=None)),
    "long settings": lambda: bars_figure(RATES.assign(setting=[c * 60 for c in "abc"]), "setting", PER_SECOND),
    "no measurement": lambda: bars_figure(RATES.assign(**{PER_SECOND: [None, 1, 0.001]}), "setting", PER_SECOND),
    "many steps": lambda: steps_figure(balance(ana=range(-50, 450), ben=range(500))),
    "one step": lambda: steps_figure(balance(ana=[-5])),
    "many participants": lambda: sequence_figure(
        pd.concat([SEQUENCE, *(SEQUENCE.assign(source=f"Service number {n}", kind="call") for n in range(9))])
    ),
    "a long label": lambda: sequence_figure(SEQUENCE.assign(label="cancelled: not enough balance for the user")),
    "a whole order": lambda: sequence_figure(pd.concat([SEQUENCE] * 6).assign(t=NO_TIME)),
    "many rows": lambda: time_rows_figure(
        pd.concat([LOAD.assign(series=f"a measure with a long name {n}") for n in range(14)]),
        events=[(1, "one event"), (1.1, "another"), (8, "the last one")],
    ),
    "one row of states": lambda: state_machine_figure(STATES[STATES["on"].isin(["reserved", "paid"])]),
    "many moves": lambda: key_moves_figure(moves(5000, 12, 16)),
    "too many moves": lambda: key_moves_figure(moves(5000, 30, 31)),
    "no handled": lambda: ownership_figure(GROUP[GROUP["event"] != "handled"]),
    "one owner": lambda: ownership_figure(group((0, "anna", "joining"), (0.2, "anna", "assigned", [0]))),
    "ten members": lambda: ownership_figure(story([f"member-{n}" for n in range(10)], 10), GROUP_LAG),
    "40 owners": lambda: ownership_figure(story(["anna", "ben", "cho"], 40), GROUP_LAG),
    "a long name": lambda: ownership_figure(story(["anna" * 9, "ben" * 9], 3).assign(topic="orders" * 4)),
    "long title": lambda: offsets_figure(OFFSETS, title="A finding that needs more than one line " * 4),
}


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_leaves_the_card(case):
    assert clashes(CASES[case]()[0]) == []


def test_overlapping_texts_are_found():
    figure, ax = style.card(1, "title", "note")
    ax.text(1, 0.5, "one text")
    ax.text(1.2, 0.5, "another")
    ax.text(8.9, 0.2, "outside")
    assert clashes(figure) == ["outside", ("one text", "another")]


@each_figure
def test_card_is_white_nine_inches_wide_and_not_transparent(name):
    image = Image.open(io.BytesIO(style.png(make(name)[0]))).convert("RGBA")
    assert image.width == 990
    assert image.getpixel((0, 0)) == image.getpixel((989, image.height - 1)) == (255, 255, 255, 255)
    assert image.getchannel("A").getextrema() == (255, 255)


@each_figure
def test_settings_of_the_notebook_change_nothing(name):
    plain = style.png(make(name)[0])
    with matplotlib.style.context(["dark_background", {"font.size": 30, "savefig.dpi": 50, "savefig.bbox": "tight"}]):
        assert style.png(make(name)[0]) == plain


@each_figure
def test_draw_shows_a_png_then_its_text_and_returns_none(name, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(style, "display", lambda image: shown.append((image, capsys.readouterr().out)))
    function, rest = SHOWN[name]
    assert function(FIGURES[name][1], *rest) is None
    [(image, before)] = shown
    assert image.data.startswith(b"\x89PNG")
    assert before == ""
    printed = capsys.readouterr().out
    assert printed.replace("\n", " ") == image.alt + " "
    assert max(map(len, printed.splitlines())) <= style.TEXT_WIDTH
    assert function.__name__ == name


def test_pyplot_is_left_alone():
    code = "import sys, helpers.draw; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


TEXTS = {
    "partition_log": "orders: partition 0 holds 5 records (eve: 3, ana: 2), "
    "1 offset without a record, committed 2, lag 4; "
    "partition 1 holds 4 records (ben: 2, cho: 1, no key: 1), committed 4, lag 0; "
    "partition 2 holds no records, nothing committed.",
    "offsets": "partition 0: beginning 0, committed 40, position 60, end 100, lag 60; "
    "partition 1: beginning 20, committed 20, position 80, end 90, lag 70; "
    "partition 2: beginning 0, nothing committed, end 70; "
    "partition 3: beginning 0, committed 0, position 0, end 0, lag 0; "
    "partition 4: beginning 30, committed 10, end 99, lag 89, the committed offset is deleted.",
    "lag": "lag: 0 at first, at most 200 at 2.0 s, 3 at the end; "
    "ben joins at 1.0 s; cho joins at 1.1 s; the last one stops at 4.0 s.",
    "ownership": "partition 0: anna from 0.3 s; "
    "partition 1: anna from 0.3 s, ben from 2.7 s and anna from 8.1 s, no owner for 3.50 s; "
    "partition 2: anna from 0.3 s, ben from 2.7 s, cho from 8.2 s and anna from 11.0 s, no owner for 3.60 s; "
    "anna joins at 0.1 s; ben joins at 2.0 s; ben killed at 5.0 s; cho joins at 8.1 s; cho paused at 9.0 s; "
    "cho resumed at 11.2 s; cho thrown out at 11.3 s; handled by anna 117, ben 46 and cho 8; "
    "lag at most 180, 0 at the end.",
    "keys_to_partitions": "partition 0 gets eve (3) and ana (2); partition 1 gets ben (2), cho (1) and records "
    "without a key (1); partition 2 gets nothing.",
    "bars": "records per second (× against linger 0): "
    "linger 0: 8,123; linger 5: 31,877, × 3.9; linger 20: 52,012, × 6.4.",
    "steps": "sent: 100 after step 0, 40 at the end, highest 120 after step 2, never below 0; "
    "read: -30 after step 0, 40 at the end, highest 70 after step 1.",
    "key_moves": "60 keys: 15 stayed, 45 moved (75%): 5 from partition 0 to 1, 5 from partition 0 to 2, "
    "5 from partition 0 to 3, 5 from partition 1 to 0, 5 from partition 1 to 2, 5 from partition 1 to 3, "
    "5 from partition 2 to 0 and 2 more.",
    "sequence": "2 records, 3 deliveries and 1 HTTP call between Customer, Order API, Relay, Kafka and Balance. "
    "Delivered again: 2, of which the inbox refused 1. Balance was killed.",
    "time_rows": "orders a second: at most 28 at 4.0 s, 26 at the end; seconds of an order: at most 1.1 at 7.5 s; "
    "lag of stock: at most 0 at 0.0 s, 0 at the end; last order at 4.0 s.",
    "state_machine": "stock reserve: reserved leads to payment pay, refused leads to CANCELLED, "
    "no answer leads to stock release; payment pay: paid leads to COMPLETED, refused leads to stock release, "
    "unknown or no answer leads to NEEDS_OPERATOR; stock release: released leads to CANCELLED, "
    "no answer leads to NEEDS_OPERATOR.",
}
TITLES = {
    "partition_log": "Group billing is 4 offsets behind the end",
    "offsets": "The group is 219 offsets behind the end; nothing committed in partition 2",
    "lag": "The lag peaks at 200 records and ends at 3",
    "ownership": "2 partitions had no owner for 3.2 s after ben was killed",
    "keys_to_partitions": "Each key has its one partition",
    "bars": "linger 20: 6.4 times the records per second of linger 0",
    "steps": "read falls to −30, sent never below 0",
    "key_moves": "45 of 60 keys moved to another partition",
    "sequence": "5 participants and 2 records, and a process was killed",
    "time_rows": "orders a second reaches 28",
    "state_machine": "6 states, 3 of them an end",
}


@each_figure
def test_title_and_text_say_what_the_data_say(name):
    figure, text = make(name)
    assert text == TEXTS[name]
    assert figure.axes[0].texts[0].get_text() == TITLES[name]


@pytest.mark.parametrize(("times", "heads"), [(1, 2), (20, 9)])
def test_a_long_sequence_names_its_participants_again(times, heads):
    figure, _ = sequence_figure(pd.concat([SEQUENCE] * times))
    places = sorted(text.get_position()[1] for text in figure.axes[0].texts if text.get_text() == "Kafka")
    gaps = [below - above for above, below in itertools.pairwise(places)]
    assert len(places) == heads
    assert times == 1 or (min(gaps) > 4 and max(gaps) < 9), gaps


@pytest.mark.parametrize("times", [60, 63, 66])
def test_no_names_come_between_a_call_and_its_answer(times):
    figure, _ = sequence_figure(pd.concat([SEQUENCE.iloc[:2]] * times))
    place = {name: [] for name in ("Customer", "POST /orders", "202; accepted")}
    for text in figure.axes[0].texts:
        place.get(text.get_text(), []).append(text.get_position()[1])
    assert len(place["Customer"]) > 5
    pairs = zip(place["POST /orders"], place["202; accepted"], strict=True)
    assert {round(answered - asked, 2) for asked, answered in pairs} == {0.29}


def test_a_sequence_as_text_and_as_mermaid():
    lines = draw.sequence_text(SEQUENCE).splitlines()
    assert len(lines) == len(SEQUENCE)
    assert lines[2] == "  3. record, Relay to Kafka: deduct 3,000 at balance.command[5]@22"
    assert lines[8] == "  9. commit, Balance at balance.command[5]@22"
    assert draw.sequence_mermaid(SEQUENCE).splitlines() == [
        "sequenceDiagram",
        "    participant p1 as Customer",
        "    participant p2 as Order API",
        "    participant p3 as Relay",
        "    participant p4 as Kafka",
        "    participant p5 as Balance",
        "    p1->>p2: POST /orders",
        "    p2-->>p1: 202#59; accepted",
        "    p3->>p4: deduct 3,000  balance.command[5]@22",
        "    p4->>p5: deduct 3,000",
        "    Note over p5: tx committed",
        "    Note over p5: kill -9",
        "    p4--)p5: again: deduct 3,000  balance.command[5]@22",
        "    p4--xp5: again: deduct 3,000  balance.command[5]@22  refused by the inbox",
        "    Note over p5: offset committed",
        "    p5-->>p4: deducted  saga.reply[4]@33",
    ]


def test_the_svg_of_a_sequence_is_the_same_each_time_and_says_what_it_shows():
    svg = draw.sequence_svg(SEQUENCE)
    assert svg == draw.sequence_svg(SEQUENCE)
    assert f"<dc:title>{TEXTS['sequence']}</dc:title>" in svg
    assert svg != draw.sequence_svg(SEQUENCE.drop(5))
    assert ">tx committed</text>" in svg


def test_who_is_called_stands_beside_the_caller():
    arrows = [("deliver", "Kafka", "Sender"), ("deliver", "Kafka", "Shipping"), ("call", "Sender", "Data platform")]
    frame = pd.DataFrame([(*arrow, "", None, NO_TIME) for arrow in arrows], columns=SEQUENCE.columns)
    _, text = sequence_figure(frame)
    assert "between Kafka, Sender, Data platform and Shipping." in text


def test_too_many_rows_over_time_are_refused():
    with pytest.raises(draw.DrawError, match="at most 14 series, these are 16"):
        draw.time_rows(LOAD.assign(series=[f"s-{n % 16}" for n in range(len(LOAD))]))


def test_an_unknown_kind_in_a_sequence_is_named():
    with pytest.raises(draw.DrawError, match="does not know the kind 'telepathy'; it knows call, record"):
        draw.sequence(SEQUENCE.assign(kind="telepathy"))


def test_a_state_without_a_place_is_named():
    with pytest.raises(draw.DrawError, match="has no place for stock release in rows"):
        state_machine_figure(STATES, [[*STATE_ROWS[0], "CANCELLED", "NEEDS_OPERATOR"]])


@each_figure
def test_an_empty_frame_is_drawn_and_said(name):
    figure, frame = FIGURES[name]
    for empty in (frame[:0], pd.DataFrame(columns=frame.columns)):
        card, text = figure(empty)
        assert clashes(card) == []
        assert "no" in text.lower()


@each_figure
def test_missing_columns_are_named(name):
    function, rest = SHOWN[name]
    columns = list(FIGURES[name][1].columns)
    with pytest.raises(draw.DrawError, match=f"draw.{name} needs the columns .*; the DataFrame has x.") as caught:
        function(pd.DataFrame({"x": [1]}), *rest)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"DrawError: {caught.value}"]
    assert any(column in str(caught.value) for column in columns)


def test_something_else_than_a_dataframe_is_refused():
    with pytest.raises(draw.DrawError, match="draws a DataFrame, this is a list"):
        draw.partition_log([1, 2])


def test_committed_of_two_topics_at_once_is_refused_and_of_one_is_taken():
    marks = pd.DataFrame({"topic": ["a", "b"], "partition": [0, 0], "committed": [1, 2], "end": [7, 4]})
    with pytest.raises(draw.DrawError, match="two rows for a partition"):
        partition_log_figure(LOG, marks)
    assert "committed 1, lag 6" in partition_log_figure(records("ana"), marks, topic="a")[1]


def test_a_baseline_that_is_not_there_and_a_negative_bar_are_refused():
    with pytest.raises(draw.DrawError, match="no row for the baseline linger 1; there are linger 0, linger 5"):
        bars_figure(RATES, "setting", PER_SECOND, baseline="linger 1")
    with pytest.raises(draw.DrawError, match="below 0"):
        bars_figure(RATES.assign(**{PER_SECOND: -1.0}), "setting", PER_SECOND)


def test_gaps_are_boxes_without_a_key_and_long_ones_are_one():
    found = [(0, "ana"), (2, "ana"), (9, "ben")]
    assert boxes(found, 11) == [(0, 0, "ana"), (1, 1, None), (2, 2, "ana"), (3, 8, None), (9, 9, "ben"), (10, 10, None)]


def owners(*events):
    """(spans, gaps) of a timeline."""
    events = group(*events)
    spans = read_spans(events, 9)
    return spans, read_gaps(events, spans, 9)


def test_a_partition_is_owned_until_it_is_revoked_or_the_owner_ends_and_hatched_until_the_next():
    spans, gaps = owners(
        (0, "anna", "assigned", [0, 1]),
        (1, "anna", "revoked", [1]),
        (2, "ben", "assigned", [1]),
        (3, "ben", "lost", [1]),
        (4, "anna", "killed"),
        (6, "ben", "assigned", [0]),
    )
    assert spans == {
        "partition 0": [("anna", 0, 4, False, "killed"), ("ben", 6, 9, False, "")],
        "partition 1": [("anna", 0, 1, False, "revoked"), ("ben", 2, 3, False, "lost")],
    }
    assert gaps == [("partition 0", 4, 6), ("partition 1", 1, 2), ("partition 1", 3, 9)]


def test_a_paused_owner_is_shown_as_paused_until_another_one_takes_over():
    spans, gaps = owners(
        (0, "anna", "assigned", [0]),
        (1, "anna", "paused"),
        (3, "ben", "assigned", [0]),
        (4, "anna", "resumed"),
        (5, "anna", "lost", [0]),
    )
    assert spans == {
        "partition 0": [("anna", 0, 1, False, "paused"), ("anna", 1, 3, True, "taken"), ("ben", 3, 9, False, "")]
    }
    assert gaps == []


def test_the_end_of_everybody_is_no_gap():
    spans, gaps = owners((0, "anna", "assigned", [0]), (2, "anna", "revoked", [0]), (2.1, "anna", "left"))
    assert spans == {"partition 0": [("anna", 0, 2, False, "revoked")]}
    assert gaps == []


def test_two_topics_have_rows_of_their_own():
    events = group((0, "anna", "assigned", [0]), (0, "anna", "assigned", [0])).assign(topic=["orders", "users"])
    assert list(read_spans(events, 1)) == ["orders 0", "users 0"]


def test_a_group_that_always_owns_everything_is_said():
    events = group((0, "anna", "assigned", [0]), (3, "anna", "handled", [0]))
    figure, _ = ownership_figure(events)
    assert figure.axes[0].texts[0].get_text() == "Every partition had an owner all the time"


def test_the_seconds_have_as_many_digits_as_each_other_and_no_bar_leaves_the_axis():
    events = group((0.2, "anna", "assigned", [0]), *handling("anna", 1, 3), (3.27, "anna", "handled", [0]))
    figure, _ = ownership_figure(events)
    card, handled = figure.axes
    seconds = [text.get_text() for text in card.texts if re.fullmatch(r"[\d.]+", text.get_text())]
    assert seconds == ["0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]
    assert max(bar.get_x() + bar.get_width() for bar in handled.patches) == pytest.approx(3.27)


def test_many_records_are_columns_and_the_figure_says_so():
    texts = {text.get_text() for text in partition_log_figure(many_records())[0].findobj(Text)}
    assert any("a column is 5 offsets, filled by key" in text for text in texts)
    assert any(text.startswith("2 other keys") for text in texts)
    assert not any("a column is" in text.get_text() for text in make("partition_log")[0].findobj(Text))


@pytest.mark.parametrize("fill", [*style.IDENTITY, style.OTHER, style.NO_KEY, style.INK, style.PANEL])
def test_text_on_every_fill_can_be_read(fill):
    assert style.contrast(style.text_on(fill), fill) >= 4.5
    for share in range(11):
        assert style.contrast(style.text_on(style.tint(fill, share / 10)), style.tint(fill, share / 10)) >= 4.5


@pytest.mark.parametrize("colour", [style.INK, style.BLACK, style.MUTED])
@pytest.mark.parametrize("ground", [style.PAPER, style.PANEL])
def test_text_on_the_card_can_be_read(colour, ground):
    assert style.contrast(colour, ground) >= 4.5


def test_contrast_is_that_of_wcag():
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert style.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert style.contrast(style.PAPER, style.SKY) < 4.5  # white on all fills would not do


def test_palette_gives_sorted_names_the_colours_in_order():
    assert draw.palette(["user-10", "user-2", None, b"user-1"]) == {
        "user-1": style.BLUE,
        "user-2": style.VERMILION,
        "user-10": style.GREEN,
    }
    assert list(draw.palette("abcdefgh").values()) == [*style.IDENTITY, style.OTHER, style.OTHER]


def test_palette_keeps_what_is_fixed():
    first = draw.palette(["ben", "eve"])
    assert draw.palette(["ana", "ben", "eve"], first) == {**first, "ana": style.GREEN}


def test_spread_moves_labels_apart_and_keeps_those_that_are():
    assert style.spread([1, 1.1, 5], [1, 1, 1], 0, 10) == pytest.approx([1, 2, 5])
    assert style.spread([9.9, 9.8], [1, 1], 0, 10) == pytest.approx([9.5, 8.5])


if __name__ == "__main__":
    for baseline in FIGURES:
        (BASELINES / f"{baseline}.png").write_bytes(style.png(make(baseline)[0]))
