"""Exercises on consumers and offsets."""

from contextlib import closing
from numbers import Integral

from kafka import TopicPartition

from ...observe.ask import ask
from ..broker_state import ReadToEnd, commit, committed, ends, listed, records, send, short, without_prefix
from ..exercise import Exercise, Incorrect, NotAttempted
from ..learner import CodeRaised, call

# ---- commit-three --------------------------------------------------------------------------------------------------


def make_five(lab):
    topic = lab.topic("five", partitions=2)
    send(lab, topic, [{"value": b"%d" % n, "partition": p} for p in range(2) for n in range(5)])
    lab.group("three")


def check_commit_three(lab):
    topic, group = lab.name("five"), lab.name("three")
    records(lab, topic)
    now = committed(lab, topic, group)
    if not now:
        nothing = (
            "if you have tried: is there a commit(), and was something read before it? "
            "poll() without timeout_ms brings nothing at first, lab.group(...) makes Kafka forget a commit, and "
            "`topic` holds the full name"
        )
        raise NotAttempted(f"the group {group} has committed nothing", without_prefix(lab, topic, "three") or nothing)
    if 0 not in now:
        raise Incorrect(
            f"committed in partition {listed(now)}, and nothing in partition 0",
            "3 in partition 0",
            "read partition 0: TopicPartition(topic, 0)",
        )
    if 1 in now:
        raise Incorrect(
            f"committed in partition 1 as well: {now[1]}",
            "3 in partition 0, and nothing in partition 1",
            "subscribe() gives both, and which comes first is chance: assign([TopicPartition(topic, 0)]) gives one. "
            'Begin afresh with practice.task("commit-three", lab)',
        )
    if now[0] != 3:
        advice = {
            0: "nothing was read: the commit comes after the third record",
            2: "committed is the offset to read next, not the last one that was read",
            4: "a fourth record was read before the commit; or close() committed once more, with enable_auto_commit on",
            5: 'a new group begins at the end, and that is 5, without auto_offset_reset="earliest"; commit() after '
            "poll() commits the whole batch; and without enable_auto_commit=False close() commits the position once "
            "more",
        }.get(now[0], "commit after the third record: without arguments, commit() takes the consumer's position")
        again = 'The group goes on from there: practice.task("commit-three", lab), and your cell once more'
        raise Incorrect(
            f"committed in partition 0: {now[0]}", "3: three records read, 3 is the next", f"{advice}. {again}"
        )
    if ask(lab, lambda admin: admin.describe_groups([group])[group])["members"]:
        raise Incorrect(
            f"the group {group} still has a member", "a consumer that is closed", "consumer.close() at the end"
        )
    return f"the group {group} will go on at offset 3 of partition 0"


COMMIT_THREE = Exercise(
    id="commit-three",
    chapter="consumers",
    topic="five",
    text="""
        **Three, and no more.** `topic` has two partitions with five records each. As the group `lab.name("three")`,
        read three records of partition 0, commit so that the fourth comes next, and close the consumer.
    """,
    prepare=make_five,
    check=check_commit_three,
    hints=[
        "With enable_auto_commit=False nothing is committed behind your back; without it, close() commits as well.",
        "consumer.assign([TopicPartition(topic, 0)]) reads that partition alone, and still commits for the group. With "
        "consumer_timeout_ms=5000 a loop ends that waits for a record which is not there.",
        "commit() without arguments commits the position, which is the offset after the record just read. "
        'commit({place: OffsetAndMetadata(3, "", -1)}) says which one.',
    ],
    reference="""
        from kafka import KafkaConsumer, TopicPartition

        settings = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "consumer_timeout_ms": 5000}
        consumer = KafkaConsumer(group_id=lab.name("three"), **settings, **lab.client)
        consumer.assign([TopicPartition(topic, 0)])
        for record in consumer:
            if record.offset == 2:
                break
        consumer.commit()
        consumer.close()
    """,
    wrong={
        "last-read": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            consumer = KafkaConsumer(group_id=lab.name("three"), enable_auto_commit=False, **lab.client)
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            consumer.commit({place: OffsetAndMetadata(2, "", -1)})
            consumer.close()
            """,
            "not the last one that was read",
        ),
        "committed-again": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            consumer = KafkaConsumer(group_id=lab.name("three"), auto_offset_reset="earliest", **lab.client)
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            while not consumer.poll(timeout_ms=500):
                pass
            consumer.commit({place: OffsetAndMetadata(3, "", -1)})
            consumer.close()
            """,
            "close() commits the position once more",
        ),
        "whole-batch": (
            """
            from kafka import KafkaConsumer, TopicPartition
            settings = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
            with KafkaConsumer(group_id=lab.name("three"), **settings, **lab.client) as consumer:
                consumer.assign([TopicPartition(topic, 0)])
                while not consumer.poll(timeout_ms=500):
                    pass
                consumer.commit()
            """,
            "commits the whole batch",
        ),
        "nothing-read": (
            """
            from kafka import KafkaConsumer, TopicPartition
            consumer = KafkaConsumer(group_id=lab.name("three"), **lab.client)
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek_to_beginning()
            consumer.position(TopicPartition(topic, 0))
            consumer.commit()
            consumer.close()
            """,
            "nothing was read",
        ),
        "one-too-many": (
            """
            from kafka import KafkaConsumer, TopicPartition
            consumer = KafkaConsumer(
                group_id=lab.name("three"), enable_auto_commit=False, auto_offset_reset="earliest", **lab.client
            )
            consumer.assign([TopicPartition(topic, 0)])
            for record in consumer:
                if record.offset == 3:
                    break
            consumer.commit()
            consumer.close()
            """,
            "a fourth record was read",
        ),
        "other-partition": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            consumer = KafkaConsumer(group_id=lab.name("three"), enable_auto_commit=False, **lab.client)
            place = TopicPartition(topic, 1)
            consumer.assign([place])
            consumer.commit({place: OffsetAndMetadata(3, "", -1)})
            consumer.close()
            """,
            "nothing in partition 0",
        ),
        "both-partitions": (
            """
            from kafka import KafkaConsumer
            consumer = KafkaConsumer(
                topic, group_id=lab.name("three"), enable_auto_commit=False, auto_offset_reset="earliest", **lab.client
            )
            for number, record in enumerate(consumer, start=1):
                if number == 3:
                    break
            consumer.commit()
            consumer.close()
            """,
            "committed in partition 1 as well",
        ),
        "left-open": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            consumer = KafkaConsumer(topic, group_id=lab.name("three"), enable_auto_commit=False, **lab.client)
            while not consumer.assignment():
                consumer.poll(timeout_ms=500)
            consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(3, "", -1)})
            """,
            "still has a member",
        ),
    },
)

# ---- replay --------------------------------------------------------------------------------------------------------

BALANCES = [("ada", 10), ("ben", 20), ("ada", 15), ("cho", 5), ("ben", None), ("dan", 7), ("cho", 9), ("ada", 12)]
BALANCES += [("fay", 4), ("fay", None), ("gus", 3), ("fay", 8), ("gus", 0)]  # fay comes back, and gus has nothing
BALANCES += [("hal", None)]  # left so long ago that no balance is left in the log


def make_balances(lab):
    topic = lab.topic("balances", partitions=2)
    send(lab, topic, [{"key": u.encode(), "value": None if b is None else b"%d" % b} for u, b in BALANCES])


TOMBSTONE = "a tombstone takes the user out: state.pop(user, None)"
MORE = "read both partitions, to the end: one poll() brings a part"


def check_replay(lab, rebuild):
    topic = lab.name("balances")
    expected = {row.key: row.value for row in records(lab, topic).itertuples()}
    expected["eve"] = sum(ends(lab, topic).values())
    send(lab, topic, [{"key": b"eve", "value": b"%d" % expected["eve"]}])  # so that no dict written by hand fits
    expected = {user: int(balance) for user, balance in expected.items() if balance is not None}
    with closing(ReadToEnd(lab, topic, max_poll_records=4)) as consumer:  # one poll() brings a part only
        state = call(rebuild, consumer, topic, advice=("NoneType|KeyError", TOMBSTONE))
    if not isinstance(state, dict):
        raise Incorrect(f"rebuild returned {short(state)}", "a dict of user to balance", "return the dict at the end")
    if not state:
        raise Incorrect(
            "rebuild returned an empty dict",
            "every user with a balance",
            "this consumer begins at the end (auto_offset_reset): assign, seek to the beginning, and give poll() time",
        )
    for user, balance in state.items():
        if not isinstance(user, str) or not isinstance(balance, Integral | None):
            raise Incorrect(f"an entry {user!r}: {balance!r}", "text and whole number", ".decode(), and int()")
    if missing := [user for user in expected if user not in state]:
        why = {"fay": "who left may come back: the last record of a key counts", "gus": "0 is a balance, None is none"}
        advice = MORE if set(missing) - set(why) else why[missing[0]]
        raise Incorrect(f"no {missing[0]} in the dict", "every user with a balance", advice)
    if gone := [user for user in state if user not in expected]:
        raise Incorrect(
            f"{gone[0]} has the balance {state[gone[0]]}",
            f"no {gone[0]}: the last record with that key is a tombstone (its value is None)",
            TOMBSTONE,
        )
    if off := [user for user in expected if state[user] != expected[user]]:
        raise Incorrect(
            f"{off[0]} has {state[off[0]]}",
            f"{expected[off[0]]}, the last balance in the log",
            "each record holds the whole balance: a later one replaces the earlier",
        )
    return f"{len(state)} balances, rebuilt from {expected['eve'] + 1} records"


REPLAY = Exercise(
    id="replay",
    chapter="consumers",
    topic="balances",
    text="""
        **State from the log.** Each record of `topic` is a user (key) and the user's new balance (value); a value
        of None, a tombstone, means that the user has left (older balances may be gone from the log). Write
        `rebuild(consumer, topic)`, which reads both partitions from offset 0 and returns the balances as a dict, such
        as `{"ada": 12}`. The consumer has no group and no partitions yet, and would begin at the end. Once you have
        given it some with `assign()`, a loop over it ends at the end of the log.
    """,
    prepare=make_balances,
    answers=["rebuild"],
    start="""
        def rebuild(consumer, topic):
            ...  # your code
    """,
    check=check_replay,
    hints=[
        "consumer.assign() takes a list of TopicPartition(topic, number), and seek_to_beginning() moves to offset 0.",
        "for record in consumer: the last record of a key wins. Keys and values are bytes.",
        "When record.value is None, take the user out with state.pop(user, None).",
    ],
    reference="""
        from kafka import TopicPartition


        def rebuild(consumer, topic):
            consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
            consumer.seek_to_beginning()
            state = {}
            for record in consumer:
                user = record.key.decode()
                if record.value is None:
                    state.pop(user, None)
                else:
                    state[user] = int(record.value)
            return state
    """,
    wrong={
        "from-the-end": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                return {record.key.decode(): int(record.value) for record in consumer if record.value}
            """,
            "begins at the end",
        ),
        "keeps-the-gone": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return {record.key.decode(): int(record.value) for record in consumer if record.value}
            """,
            "is a tombstone",
        ),
        "adds-up": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                state = {}
                for record in consumer:
                    user = record.key.decode()
                    if record.value is None:
                        state.pop(user, None)
                    else:
                        state[user] = state.get(user, 0) + int(record.value)
                return state
            """,
            "a later one replaces the earlier",
        ),
        "gone-for-good": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                state, gone = {}, set()
                for record in consumer:
                    user = record.key.decode()
                    gone |= set() if record.value else {user}
                    state[user] = record.value and int(record.value)
                return {user: balance for user, balance in state.items() if user not in gone}
            """,
            "who left may come back",
        ),
        "zero-is-nothing": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                state = {record.key.decode(): int(record.value or 0) for record in consumer}
                return {user: balance for user, balance in state.items() if balance}
            """,
            "0 is a balance",
        ),
        "one-partition": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                state = {record.key.decode(): record.value for record in consumer}
                return {user: int(balance) for user, balance in state.items() if balance is not None}
            """,
            "read both partitions",
        ),
        "one-poll": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                state = {}
                for records in consumer.poll(timeout_ms=5000).values():
                    state |= {record.key.decode(): record.value and int(record.value) for record in records}
                return {user: balance for user, balance in state.items() if balance is not None}
            """,
            "one poll() brings a part",
        ),
        "bytes": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return {record.key: record.value for record in consumer}
            """,
            ".decode(), and int()",
        ),
        "no-return": (
            """
            from kafka import TopicPartition
            def rebuild(consumer, topic):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
            """,
            "rebuild returned None",
        ),
    },
)

# ---- since ---------------------------------------------------------------------------------------------------------

NEW_YEAR = 1_767_225_600_000  # 2026-01-01 00:00 UTC, in milliseconds
MINUTE = 60_000
READINGS = [(0, minute) for minute in range(6)] + [(1, minute) for minute in range(4)]  # (partition, minute)


def make_readings(lab):
    topic = lab.topic("readings", partitions=2, retention_ms=-1)
    rows = [{"partition": p, "value": b"%d-%d" % (p, m), "timestamp_ms": NEW_YEAR + m * MINUTE} for p, m in READINGS]
    send(lab, topic, rows)


NO_STR = "record.value.decode(); str() of bytes writes the b'...' as well"


def of_str(values):
    """The first text that str() has made of bytes; None if there is none."""
    return next((value for value in values if value.startswith("b'")), None)


NOTHING_SO_LATE = "a partition with nothing so late: offsets_for_times gives None for it, and there is nothing to read"


def check_since(lab, since):
    topic = lab.name("readings")
    records(lab, topic)
    for minute in (2, 4):
        expected = [f"{p}-{m}" for p, m in READINGS if m >= minute]
        with closing(ReadToEnd(lab, topic, auto_offset_reset="earliest", max_poll_records=2)) as consumer:
            advice = "NoneType", NOTHING_SO_LATE
            found = call(since, consumer, topic, NEW_YEAR + minute * MINUTE, advice=advice)
        if not isinstance(found, list):
            raise Incorrect(f"since returned {short(found)}", "a list of values as text", "return [...]")
        if other := next((one for one in found if not isinstance(one, str)), None):
            raise Incorrect(
                f"since returned a list of {type(other).__name__}", "a list of values as text", "record.value.decode()"
            )
        if written := of_str(found):
            raise Incorrect(f"for minute {minute}, among others the text {written}", "values as text", NO_STR)
        if early := sorted(set(found) - set(expected)):
            raise Incorrect(
                f"for minute {minute}, among others: {listed(early)}",
                listed(expected),
                NOTHING_SO_LATE
                if minute == 4
                else "offsets_for_times takes a time for each partition and gives the offset to seek to: seek "
                "both before you read",
            )
        missing = sorted(set(expected) - set(found))
        if missing and {one for one in expected if one.endswith(f"-{minute}")} <= set(found):
            advice = "you began at the right places, and ended too early: a loop over the consumer goes to the end"
            raise Incorrect(f"for minute {minute}, not there: {listed(missing)}", listed(expected), advice)
        if missing:
            raise Incorrect(
                f"for minute {minute}, not there: {listed(missing)}",
                listed(expected),
                "each partition has offsets of its own: look up and seek both. Read to the end: one poll() brings a "
                "part. The record of that very minute counts",
            )
        if twice := sorted({one for one in found if found.count(one) > 1}):
            raise Incorrect(f"for minute {minute}, more than once: {listed(twice)}", "each once", "append once")
        if len(consumer.handed_out) > len(expected):
            raise Incorrect(
                f"for minute {minute}, your loop got {len(consumer.handed_out)} records to find {len(expected)}",
                "no record that is too early",
                "seek to what offsets_for_times gives, and the loop begins there",
            )
    return "both partitions, from the minute that was asked for"


def seeking(end):
    """The source of a since that seeks, and then does this."""
    return f"""
        from kafka import TopicPartition


        def since(consumer, topic, milliseconds):
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            found = consumer.offsets_for_times(dict.fromkeys(places, milliseconds))
            found = {{place: one.offset for place, one in found.items() if one}}
            consumer.assign(list(found))
            for place, offset in found.items():
                consumer.seek(place, offset)
            {end}
    """


SINCE = Exercise(
    id="since",
    chapter="consumers",
    topic="readings",
    text="""
        **Since a minute.** `topic` holds one reading a minute in partition 0, and in partition 1 until the sensor
        broke. Write `since(consumer, topic, milliseconds)`, which returns a list of the values, as text, of all
        records with that timestamp or a later one. Seek there; do not read everything. The consumer has no group
        and no partitions yet, and would begin at the beginning. Once you have given it some with `assign()`, a loop
        over it ends at the end of the log.
    """,
    prepare=make_readings,
    answers=["since"],
    start="""
        def since(consumer, topic, milliseconds):
            ...  # your code
    """,
    check=check_since,
    hints=[
        "consumer.offsets_for_times({place: milliseconds, ...}) finds, for each partition, the first offset so late.",
        "It gives None for a partition that has nothing so late. Do not read that one.",
        "assign() only the partitions for which it found something, seek() each, then loop.",
    ],
    reference=seeking("return [record.value.decode() for record in consumer]"),
    wrong={
        "from-the-beginning": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return [record.value.decode() for record in consumer]
            """,
            "for minute 2, among others: 0-0, 0-1, 1-0, 1-1",
        ),
        "filtered": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return [record.value.decode() for record in consumer if record.timestamp >= milliseconds]
            """,
            "your loop got 10 records to find 6",
        ),
        "polled-all": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
                consumer.assign(places)
                consumer.seek_to_beginning()
                values, ends = [], consumer.end_offsets(places)
                while any(consumer.position(place) < ends[place] for place in places):
                    for records in consumer.poll(timeout_ms=1000).values():
                        values += [record.value.decode() for record in records if record.timestamp >= milliseconds]
                return values
            """,
            "and the loop begins there",
        ),
        "one-poll": (
            seeking("return [one.value.decode() for some in consumer.poll(timeout_ms=5000).values() for one in some]"),
            "one poll() brings a part",
        ),
        "twice": (
            seeking("return [record.value.decode() for record in consumer for _ in range(2)]"),
            "for minute 2, more than once: 0-2",
        ),
        "str": (
            """
            def since(consumer, topic, milliseconds):
                return [str(b"0-2")]
            """,
            "among others the text b'0-2'",
        ),
        "one-partition": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                place = TopicPartition(topic, 0)
                consumer.assign([place])
                consumer.seek(place, consumer.offsets_for_times({place: milliseconds})[place].offset)
                return [record.value.decode() for record in consumer]
            """,
            "for minute 2, not there: 1-2, 1-3",
        ),
        "too-few": (
            seeking('return [one for one in (record.value.decode() for record in consumer) if one[2:] in ("2", "4")]'),
            "and ended too early",
        ),
        "later-only": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return [record.value.decode() for record in consumer if record.timestamp > milliseconds]
            """,
            "The record of that very minute counts",
        ),
        "reads-the-broken-one": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
                consumer.assign(places)
                for place, one in consumer.offsets_for_times(dict.fromkeys(places, milliseconds)).items():
                    if one:
                        consumer.seek(place, one.offset)
                return [record.value.decode() for record in consumer]
            """,
            "gives None for it",
        ),
        "bytes": (
            """
            def since(consumer, topic, milliseconds):
                return [b"0-2"]
            """,
            "since returned a list of bytes",
        ),
        "records": (
            """
            from kafka import TopicPartition
            def since(consumer, topic, milliseconds):
                consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
                consumer.seek_to_beginning()
                return list(consumer)
            """,
            "since returned a list of ConsumerRecord",
        ),
        "no-return": ("def since(consumer, topic, milliseconds):\n    consumer.close()", "since returned None"),
    },
)

# ---- lag-zero ------------------------------------------------------------------------------------------------------

DONE = {0: 4, 1: 0}  # the offsets that the group has committed; each partition has ten records
WAITING = [f"{number}-{offset}" for number in range(2) for offset in range(DONE[number], 10)]


def make_backlog(lab):
    topic = lab.topic("backlog", partitions=2)
    send(lab, topic, [{"value": b"%d-%d" % (p, n), "partition": p} for p in range(2) for n in range(10)])
    commit(lab, topic, lab.group("clerks"), DONE)


def check_lag_zero(lab, handled):
    topic = lab.name("backlog")
    records(lab, topic)
    now, end = committed(lab, topic, lab.name("clerks")), ends(lab, topic)
    lags = {number: end[number] - now.get(number, 0) for number in end}
    lag = sum(lags.values())
    again = 'Begin afresh with practice.task("lag-zero", lab) and handled = []'
    if any(offset > end[number] for number, offset in now.items()):
        advice = (
            f"committed is where to go on in that partition, record.offset + 1, and not how many were handled. {again}"
        )
        raise Incorrect(f"committed is {now}, and the ends are {end}", "a lag of 0 in both partitions", advice)
    if not isinstance(handled, list):
        raise Incorrect(f"handled is {short(handled)}", "a list of the values that were handled", "handled.append(...)")
    left = (
        "a consumer is still a member: close() it (before that commit(), or leave enable_auto_commit on). While it is "
        f"there, a new one waits for its partitions. {again}"
    )
    joined = ask(lab, lambda admin: admin.describe_groups([lab.name("clerks")])[lab.name("clerks")]["members"])
    if not handled and now == DONE:
        seen = f"the group {lab.name('clerks')} has a lag of {lag}, and handled is empty"
        tried = (
            "if you have tried: the loop brought nothing. A new member waits some seconds for its partitions "
            "(consumer_timeout_ms=2000), and `topic` holds the full name"
        )
        raise NotAttempted(seen, without_prefix(lab, topic, "clerks") or (left if joined else tried))
    if others := [type(one).__name__ for one in handled if not isinstance(one, str | bytes)]:
        raise Incorrect(f"handled holds a {others[0]}", "the values as text", f"record.value.decode(). {again}")
    handled = [value.decode() if isinstance(value, bytes) else value for value in handled]
    if written := of_str(handled):
        raise Incorrect(f"handled holds the text {written}", "the values as text", f"{NO_STR}. {again}")
    if set(lags.values()) == {1}:
        raise Incorrect(
            f"a lag of 1 in each partition: committed is {now}",
            "a lag of 0 in both partitions",
            f"a committed offset is the one to read next: record.offset + 1. {again}",
        )
    if lag:
        advice = (
            "what is handled must be committed too, in its own partition: by commit(), or by close() where "
            "enable_auto_commit is left on. A loop that ends early leaves some, and assign() those of a partition"
        )
        if now == DONE and set(handled) - set(WAITING):
            advice = 'read and commit as the group lab.name("clerks"): it begins at what it has committed'
        advice = without_prefix(lab, topic, "clerks") or advice
        seen = f"{len(handled)} records handled, and a lag of {lag} ({lags})"
        if joined:
            raise Incorrect(f"{seen}, and a member in the group", "a lag of 0 in both partitions", left)
        raise Incorrect(seen, "a lag of 0 in both partitions", f"{advice}. {again}")
    if missing := [value for value in WAITING if value not in handled]:
        raise Incorrect(
            f"a lag of 0, and never handled: {listed(missing)}",
            f"the {len(WAITING)} records that were waiting",
            "whoever moves the committed offset without reading loses what lies between; a cell that runs again "
            f"empties the list of what it had handled; and the values belong into `handled`. {again}",
        )
    if extra := sorted({value for value in handled if value not in WAITING or handled.count(value) > 1}):
        raise Incorrect(
            f"handled a second time: {listed(extra)}",
            f"the {len(WAITING)} records that were waiting, once each",
            f'join as the group, by the name lab.name("clerks") (lab.group has Kafka forget what it committed), and '
            f"do not seek: it goes on at what is committed. {again}",
        )
    return f"a lag of 0, and the {len(WAITING)} waiting records handled once each"


LAG_ZERO = Exercise(
    id="lag-zero",
    chapter="consumers",
    topic="backlog",
    text="""
        **Clear the backlog.** Each of the two partitions of `topic` has ten records. The group `lab.name("clerks")`
        has committed 4 in partition 0 and 0 in partition 1. Bring its lag to 0, and put the value of every record
        that it still had to handle into the list `handled`: each once, and none that was done before.
    """,
    prepare=make_backlog,
    answers=["handled"],
    start="""
        handled = []
        # your code
    """,
    check=check_lag_zero,
    hints=[
        "A consumer with this group_id goes on where the group has committed.",
        "consumer_timeout_ms=2000 ends the loop when nothing came for two seconds.",
        "Append record.value.decode() in the loop; after it, commit() and close().",
    ],
    reference="""
        from kafka import KafkaConsumer

        handled = []
        consumer = KafkaConsumer(
            topic, group_id=lab.name("clerks"), enable_auto_commit=False, consumer_timeout_ms=2000, **lab.client
        )
        for record in consumer:
            handled.append(record.value.decode())
        consumer.commit()
        consumer.close()
    """,
    wrong={
        "skips-ahead": (
            """
            from kafka import TopicPartition
            from kafka.admin import OffsetSpec
            handled = []
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("clerks"), dict.fromkeys(places, OffsetSpec.LATEST))
            """,
            "loses what lies between",
        ),
        "forgets-what-was-done": (
            """
            from kafka import KafkaConsumer
            handled = []
            settings = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 2000, **lab.client}
            consumer = KafkaConsumer(topic, group_id=lab.group("clerks"), **settings)
            for record in consumer:
                handled.append(record.value.decode())
            consumer.close()
            """,
            "lab.group has Kafka forget",
        ),
        "no-commit": (
            """
            from helpers import observe
            found = observe.records(lab, topic)
            handled = list(found[(found["partition"] == 1) | (found["offset"] >= 4)]["value"])
            """,
            "16 records handled, and a lag of 16",
        ),
        "one-partition": (
            """
            from kafka import KafkaConsumer, TopicPartition
            settings = {"consumer_timeout_ms": 2000, **lab.client}
            with KafkaConsumer(group_id=lab.name("clerks"), **settings) as consumer:
                consumer.assign([TopicPartition(topic, 1)])
                handled = [record.value.decode() for record in consumer]
            """,
            "a lag of 6 ({0: 6, 1: 0})",
        ),
        "everything": (
            """
            from helpers import observe
            from kafka import TopicPartition
            from kafka.admin import OffsetSpec
            handled = list(observe.records(lab, topic)["value"])
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("clerks"), dict.fromkeys(places, OffsetSpec.LATEST))
            """,
            "handled a second time: 0-0, 0-1, 0-2, 0-3",
        ),
        "its-own-offset": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            handled = []
            settings = {"enable_auto_commit": False, "consumer_timeout_ms": 2000, **lab.client}
            consumer = KafkaConsumer(topic, group_id=lab.name("clerks"), **settings)
            for record in consumer:
                handled.append(record.value)
                place = TopicPartition(topic, record.partition)
                consumer.commit({place: OffsetAndMetadata(record.offset, "", -1)})
            consumer.close()
            """,
            "a lag of 1 in each partition",
        ),
        "another-group": (
            """
            from kafka import KafkaConsumer
            settings = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 2000, **lab.client}
            with KafkaConsumer(topic, group_id=lab.group("clerk"), **settings) as consumer:
                handled = [record.value for record in consumer]
            """,
            'read and commit as the group lab.name("clerks")',
        ),
        "offsets": ("handled = [0, 1, 2]", "handled holds a int"),
        "so-many": (
            """
            from kafka import KafkaConsumer, TopicPartition
            from kafka.structs import OffsetAndMetadata
            settings = {"enable_auto_commit": False, "consumer_timeout_ms": 2000, **lab.client}
            consumer = KafkaConsumer(topic, group_id=lab.name("clerks"), **settings)
            handled = [record.value for record in consumer]
            consumer.commit({TopicPartition(topic, 1): OffsetAndMetadata(len(handled), "", -1)})
            consumer.close()
            """,
            "and not how many were handled",
        ),
        "records": (
            """
            from kafka import KafkaConsumer
            settings = {"enable_auto_commit": False, "consumer_timeout_ms": 2000, **lab.client}
            consumer = KafkaConsumer(topic, group_id=lab.name("clerks"), **settings)
            handled = list(consumer)
            consumer.commit()
            consumer.close()
            """,
            "handled holds a ConsumerRecord",
        ),
        "a-number": ("handled = 16", "a list of the values"),
        "str": ("""handled = [str(b"0-4")]""", "handled holds the text b'0-4'"),
        "left-open": (
            """
            from kafka import KafkaConsumer
            settings = {"enable_auto_commit": False, "consumer_timeout_ms": 2000, **lab.client}
            consumer = KafkaConsumer(topic, group_id=lab.name("clerks"), **settings)
            handled = [next(consumer).value.decode() for _ in range(7)]
            """,
            "a consumer is still a member: close() it",
        ),
    },
)

# ---- at-least-once -------------------------------------------------------------------------------------------------

JOBS = [f"job-{number}" for number in range(8)]


class Crash(RuntimeError):
    """What the handler raises, twice, as a program that dies would."""


def check_at_least_once(lab, work):
    topic, group = lab.topic("jobs"), lab.group("workers")
    send(lab, topic, [{"value": job.encode()} for job in JOBS])
    handled, plan = [], {2: "before", 5: "after"}  # where the power goes off: before or after the work is done

    def handle(record):
        moment = plan.pop(record.offset, None)
        if moment == "before":
            raise Crash(f"the power went off before {JOBS[record.offset]} was done")
        handled.append(record.value.decode())
        if moment == "after":
            raise Crash(f"the power went off after {JOBS[record.offset]} was done")

    for _ in range(3):
        still_planned = len(plan)
        crashed = run_once(lab, topic, group, work, handle)
        if not crashed and len(plan) < still_planned:
            raise Incorrect(
                "handle() raised, and your function went on",
                "the error reaches the caller, and the record comes again after the restart",
                "do not catch what handle() raises",
            )
    if lost := [job for job in JOBS if job not in handled]:
        raise Incorrect(
            f"lost: {listed(lost)}",
            "every job handled at least once",
            "after a poll() the position is the end of the batch, and commit() commits it: loop over the consumer "
            "itself, or commit record.offset + 1"
            if handled and len(lost) > 1
            else "first handle, then commit; and do not commit on the way out of an error",
        )
    position = committed(lab, topic, group).get(0, "nothing")
    if position == len(JOBS) - 1:
        raise Incorrect(
            f"all {len(JOBS)} jobs are handled, and committed is {position}: the last one comes again at each start",
            f"{len(JOBS)}, the offset to read next",
            "record.offset + 1, when you name the offset yourself",
        )
    if position != len(JOBS):
        raise Incorrect(
            f"all {len(JOBS)} jobs are handled, and committed is {position}",
            f"{len(JOBS)} at the end: else the next start does everything again",
            "consumer.commit() after handle(record)",
        )
    again = len(handled) - len(JOBS)
    fewer = " (with a commit after each record: 1)" if again > 1 else ""
    return f"no job lost across two crashes; {again} handled a second time{fewer}"


def run_once(lab, topic, group, work, handle):
    """One life of the learner's program; whether it ended by the crash."""
    with closing(
        ReadToEnd(lab, topic, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest")
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        try:
            call(work, consumer, handle)
        except CodeRaised as raised:
            if not isinstance(raised.error, Crash):
                raise
            return True
    return False


AT_LEAST_ONCE = Exercise(
    id="at-least-once",
    chapter="consumers",
    text="""
        **Across a crash.** Write `work(consumer, handle)`: it reads records in a loop, calls `handle(record)` for
        each, and commits with the consumer. The consumer belongs to a group, has its partition, does not commit by
        itself, and a loop over it ends at the end of the log. The check has the power go off twice: `handle`
        raises. Each time it starts your function again. No job may be lost; some may come twice, and the check
        counts them.
    """,
    answers=["work"],
    start="""
        def work(consumer, handle):
            ...  # your code
    """,
    check=check_at_least_once,
    hints=[
        "What is committed is never read again by the group. When is it safe to commit a record?",
        "A crash between two steps runs only the first: which of the two may be done without the other?",
        "handle(record) first, consumer.commit() after it, and no try around them.",
    ],
    reference="""
        def work(consumer, handle):
            for record in consumer:
                handle(record)
                consumer.commit()
    """,
    wrong={
        "commit-first": (
            """
            def work(consumer, handle):
                for record in consumer:
                    consumer.commit()
                    handle(record)
            """,
            "lost: job-2\n",
        ),
        "commit-on-the-way-out": (
            """
            def work(consumer, handle):
                try:
                    for record in consumer:
                        handle(record)
                finally:
                    consumer.commit()
            """,
            "do not commit on the way out of an error",
        ),
        "commits-the-batch": (
            """
            def work(consumer, handle):
                while batch := consumer.poll(timeout_ms=1000):
                    for records in batch.values():
                        for record in records:
                            handle(record)
                            consumer.commit()
            """,
            "the position is the end of the batch",
        ),
        "goes-on": (
            """
            def work(consumer, handle):
                for record in consumer:
                    try:
                        handle(record)
                    except Exception:
                        continue
                    consumer.commit()
            """,
            "do not catch what handle() raises",
        ),
        "commits-its-own-offset": (
            """
            from kafka import TopicPartition
            from kafka.structs import OffsetAndMetadata
            def work(consumer, handle):
                for record in consumer:
                    handle(record)
                    place = TopicPartition(record.topic, record.partition)
                    consumer.commit({place: OffsetAndMetadata(record.offset, "", -1)})
            """,
            "the last one comes again at each start",
        ),
        "never-commits": (
            """
            def work(consumer, handle):
                for record in consumer:
                    handle(record)
            """,
            "the next start does everything again",
        ),
        "commits-only": (
            """
            def work(consumer, handle):
                for record in consumer:
                    consumer.commit()
            """,
            "lost: job-0",
        ),
    },
)

EXERCISES = [COMMIT_THREE, REPLAY, SINCE, LAG_ZERO, AT_LEAST_ONCE]
