"""Exercises on the first message."""

from textwrap import dedent

from ..broker_state import UNSENT, commit, committed, ends, partition_of, records, send, without_prefix
from ..exercise import Exercise, Incorrect, NotAttempted

ORDERS = [("ada", "tea"), ("ben", "milk"), ("ada", "cup"), ("cho", "rice"), ("ada", "pot"), ("ben", "oats")]
USERS = {user for user, _ in ORDERS}


def make_orders(lab):
    """What the notebook has made: six orders in three partitions, and the group billing, which has read them all."""
    topic = lab.topic("orders", partitions=3)
    send(lab, topic, [{"key": user.encode(), "value": item.encode()} for user, item in ORDERS])
    commit(lab, topic, lab.group("billing"), ends(lab, topic))


# ---- own-name ------------------------------------------------------------------------------------------------------


def check_own_name(lab):
    found = records(lab, lab.name("me"))
    if found.empty:
        raise NotAttempted(
            f"the topic {lab.name('me')} has no records: send to topic, which your cell's first line sets"
        )
    value = found["value"].iloc[-1]
    expected = "a record whose value is your name, as text"
    if not value:
        key = found["key"].iloc[-1]
        seen = f"the last record has the key {key!r} and no value" if key else "the last record's value is empty"
        raise Incorrect(seen, expected, "the name is the value: send(topic, value=...)")
    if not isinstance(value, str):
        raise Incorrect(f"the last value is {value!r}, which is not UTF-8", expected, 'encode the text: "Ada".encode()')
    if value.startswith(("b'", 'b"')):
        raise Incorrect(
            f"the last value is {value}: b and quotes are part of it",
            expected,
            'str(b"Ada") turns bytes into such a text: send b"Ada" or "Ada".encode() itself',
        )
    if value.strip().casefold() in {"", "your name", "my name", "name", "me", "..."}:
        raise Incorrect(f"the last value is {value!r}", "your own name", "put your name in its place")
    return f"the last record says {value!r}"


OWN_NAME = Exercise(
    id="own-name",
    chapter="hello",
    topic="me",
    text="""
        **Your own name.** Send a record whose value is your name to the topic `me`. The first line of your cell puts
        its full name into `topic`: send to that. (A producer looks a whole minute for a topic that does not exist
        before it says so.) Use the command line or Python.
    """,
    prepare=lambda lab: lab.topic("me"),
    check=check_own_name,
    hints=[
        "Two programs of this notebook send: kafka-console-producer, and a KafkaProducer.",
        "Kafka stores bytes, and send() only hands the record over: wait for it with get().",
        '!echo "Ada" | kafka-console-producer --topic {topic} --bootstrap-server {address}',
    ],
    reference="""
        from kafka import KafkaProducer

        producer = KafkaProducer(**lab.client)
        producer.send(topic, value="Ada".encode()).get(timeout=10)
        producer.close()
    """,
    wrong={
        "as-key": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"Ada").get(timeout=10)
            producer.close()
            """,
            "has the key 'Ada' and no value",
        ),
        "nothing-in-it": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=b"").get(timeout=10)
            producer.close()
            """,
            "value is empty",
        ),
        "str-of-bytes": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=str(b"Ada").encode()).get(timeout=10)
            producer.close()
            """,
            "b and quotes are part of it",
        ),
        "another-encoding": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value="Zoë".encode("latin-1")).get(timeout=10)
            producer.close()
            """,
            "which is not UTF-8",
        ),
        "blank": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=b"   ").get(timeout=10)
            producer.close()
            """,
            "the last value is '   '",
        ),
        "placeholder": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=b"your name").get(timeout=10)
            producer.close()
            """,
            "put your name in its place",
        ),
    },
)

# ---- read-again ----------------------------------------------------------------------------------------------------


def check_read_again(lab):
    topic, group = lab.name("orders"), lab.name("billing")
    if records(lab, topic).empty:
        raise NotAttempted("the topic orders has no records")
    now, end = committed(lab, topic, group), ends(lab, topic)
    if all(now.get(number) == offset for number, offset in end.items() if offset):
        raise NotAttempted(
            f"the committed offsets of {group} are the end offsets: nothing is left for it",
            without_prefix(lab, topic, "billing")
            or "if you have tried: a group that has read everything again is at the end once more: reset it, and check "
            "before it reads. A reset needs --execute: without it, it is only a rehearsal; and a group without "
            "members, so close() yours. A seek moves one consumer, once it reads or calls position(), and only a "
            "commit() after that moves the group. auto_offset_reset counts only for a group that has committed nothing",
        )
    ahead = {number: offset for number, offset in now.items() if offset > 0}
    if ahead:
        raise Incorrect(
            "committed is " + ", ".join(f"{offset} in partition {number}" for number, offset in ahead.items()),
            "0 in every partition",
            "a group has one offset for each partition: move them all, and to the earliest",
        )
    gone = [number for number, offset in end.items() if offset and number not in now]
    if gone:
        raise Incorrect(
            f"nothing is committed in partition {', '.join(map(str, gone))}",
            "offsets that have been moved, not deleted: 0 in every partition",
            'run the task again, and name the group with lab.name("billing"): lab.group and --delete make Kafka forget '
            "its offsets",
        )
    return "billing has every partition before it, from offset 0"


READ_AGAIN = Exercise(
    id="read-again",
    chapter="hello",
    topic="orders",
    text="""
        **Once more from the beginning.** The group `lab.name("billing")` has read all of `orders`. Make it read
        everything again, under the same name: move its committed offsets back to 0. `kafka-consumer-groups` has
        `--reset-offsets` for that, and `--help` shows the rest. Check before you let it read.
    """,
    prepare=make_orders,
    check=check_read_again,
    hints=[
        "What a group has read is one number for each partition, its committed offset. Nothing else need change.",
        "kafka-consumer-groups has --reset-offsets, and the offset to move to has a name: --to-earliest. "
        "Without --execute it only shows what it would do.",
        "!kafka-consumer-groups --reset-offsets --to-earliest --execute --group {lab.name('billing')} --topic {topic} "
        "--bootstrap-server {lab.bootstrap}",
    ],
    reference="""
        # or, with the command line: practice.hint("read-again") three times shows the whole line
        from kafka import TopicPartition
        from kafka.admin import OffsetSpec

        places = [TopicPartition(topic, number) for number in range(3)]
        lab.admin.reset_group_offsets(lab.name("billing"), dict.fromkeys(places, OffsetSpec.EARLIEST))
    """,
    wrong={
        "one-partition": (
            """
            from kafka import TopicPartition
            lab.admin.reset_group_offsets(lab.name("billing"), {TopicPartition(topic, 1): 0})
            """,
            "committed is 4 in partition 2",
        ),
        "one-back": (
            """
            from kafka import TopicPartition
            places = {TopicPartition(topic, 1): 1, TopicPartition(topic, 2): 3}
            lab.admin.reset_group_offsets(lab.name("billing"), places)
            """,
            "committed is 1 in partition 1, 3 in partition 2",
        ),
        "forgotten": (
            """
            group = lab.group("billing")
            """,
            "nothing is committed in partition 1, 2",
        ),
    },
)

# ---- empty-partition -----------------------------------------------------------------------------------------------


def check_empty_partition(lab):
    found = records(lab, lab.name("orders"))
    partitions = len(ends(lab, lab.name("orders")))
    empty = sorted(set(range(partitions)) - set(found["partition"]))
    new = found[~found["key"].isin(USERS)]
    if new.empty and empty:
        seen = f"only the orders of ada, ben and cho; empty: partition {', '.join(map(str, empty))}"
        raise NotAttempted(seen, UNSENT)
    again = 'Begin afresh with practice.task("empty-partition", lab)'
    if gone := sorted(USERS - set(found["key"])):
        raise Incorrect(f"the orders of {', '.join(gone)} are gone", "the six orders, and new ones", again)
    for what, column in (("a user as key", "key"), ("a value, what is ordered", "value")):
        if not all(found[column]):
            raise Incorrect(
                f"an order without {what}",
                "orders with key and value",
                f'send(topic, key=user.encode(), value=b"tea"). A log forgets nothing. {again}',
            )
    for row in found.itertuples():
        if partition_of(row.key, partitions) != row.partition:
            raise Incorrect(
                f"the order of {row.key} is in partition {row.partition}, and its key says "
                f"{partition_of(row.key, partitions)}",
                "a key that leads there by itself",
                f"leave partition= out and the topic as it is, and try another name. A log forgets nothing. {again}",
            )
    if empty:
        went = ", ".join(f"{row.key} to {row.partition}" for row in new.drop_duplicates("key").itertuples())
        advice = "try more names: about one of three leads there"
        if new["key"].nunique() == 1 and new["value"].nunique() > 1:
            advice = f"all have the key {new['key'].iloc[0]}: send(topic, key=user.encode(), value=...)"
        raise Incorrect(f"partition {empty[0]} is still empty; {went}", f"an order in partition {empty[0]}", advice)
    found_in = new.drop_duplicates("key").set_index("partition")["key"]
    return f"every partition has records; {', '.join(f'{user} to {number}' for number, user in found_in.items())}"


def orders_of(users, more):
    """The source that sends an order of each user."""
    return f"""
        from kafka import KafkaProducer
        producer = KafkaProducer(**lab.client)
        for user in {users!r}:
            producer.send(topic, key=user, {more}).get(timeout=10)
        producer.close()
    """


EMPTY_PARTITION = Exercise(
    id="empty-partition",
    chapter="hello",
    topic="orders",
    text="""
        **The empty partition.** `orders` has three partitions, and the orders of ada, ben and cho fill two of them.
        Find a user whose orders go to the third, and send one (those that you try in between may stay). The key alone
        decides: do not name the partition.
    """,
    prepare=make_orders,
    check=check_empty_partition,
    hints=[
        "get() on what send() returns says in which partition the record is.",
        "Nobody can tell from a name where it leads: try several in a loop.",
        "Try hal, ida, jin and kim.",
    ],
    reference="""
        from kafka import KafkaProducer

        producer = KafkaProducer(**lab.client)
        for user in ("hal", "ida", "jin", "kim"):
            print(user, producer.send(topic, key=user.encode(), value=b"tea").get(timeout=10).partition)
        producer.close()
    """,
    wrong={
        "told-the-partition": (
            orders_of([b"eve"], 'value=b"tea", partition=0'),
            "the order of eve is in partition 0, and its key says 2",
        ),
        "known-user-told-the-partition": (
            orders_of([b"ada", b"ben", b"cho"], 'value=b"tea", partition=0'),
            "the order of ada is in partition 0",
        ),
        "no-text": (orders_of([b"\xff\xff"], 'value=b"tea", partition=0'), "the order of b'\\xff\\xff' is in"),
        "no-key": (orders_of([None], 'value=b"tea", partition=0'), "an order without a user as key"),
        "nothing-ordered": (orders_of([b"hal", b"ida", b"jin", b"kim"], "value=None"), "an order without a value"),
        "swapped": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            for user in (b"hal", b"ida", b"jin", b"kim"):
                producer.send(topic, user, b"tea").get(timeout=10)
            producer.close()
            """,
            "all have the key tea",
        ),
        "made-anew": ('lab.topic("orders", partitions=3)\n' + dedent(orders_of([b"dan"], 'value=b"tea"')), "are gone"),
        "another-one": (orders_of([b"eve"], 'value=b"tea"'), "partition 0 is still empty; eve to 2"),
    },
)

EXERCISES = [OWN_NAME, READ_AGAIN, EMPTY_PARTITION]
