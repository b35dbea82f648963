"""Exercises on producers."""

import gc
import json
import logging
import sys
import threading
from contextlib import closing
from itertools import count
from numbers import Integral

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner import Partitioner

from ...lab import LabError, broker
from ...observe.ask import ask
from ..broker_state import UNSENT, listed, lost_or_twice, ran_again, records
from ..exercise import Exercise, Incorrect, NotAttempted, NotReady
from ..learner import CodeRaised, OutOfTime, call, elsewhere

# ---- flush ---------------------------------------------------------------------------------------------------------

NUMBERS = [str(number) for number in range(10)]


def check_flush(lab, send_all):
    topic = lab.topic("flush")
    with closing(KafkaProducer(linger_ms=10_000, **lab.client)) as producer:
        try:
            call(send_all, producer, topic, seconds=3)
        except CodeRaised as raised:
            if not isinstance(raised.error, OutOfTime):
                raise
            raise Incorrect(
                "after 3 s your function had not returned",
                "all ten in one go",
                "get() does not hurry a batch along, it waits out linger_ms: send all, then flush()",
            ) from raised
        if "producer-metrics" not in producer.metrics():
            raise Incorrect(
                "the producer is closed", "an open one", "leave it open, it is the check's: flush() empties it"
            )
        found, together = records(lab, topic), producer.metrics()["producer-metrics"]["records-per-request-avg"]
    if found.empty:
        raise Incorrect(
            "0 of 10 records had arrived when your function returned",
            "all ten",
            "send() only puts a record into the producer's memory: one more call waits until that is empty",
        )
    if wrong := lost_or_twice(NUMBERS, found["value"]):
        raise Incorrect(wrong, "the values 0 to 9, once each", "look at what your loop sends")
    if not together:
        raise Incorrect(
            "another producer has sent them", "the one that your function gets", "producer.send(...): it is the check's"
        )
    if together < 2:
        raise Incorrect(
            "10 of 10 records had arrived, each in a request of its own",
            "no wait after each: records that travel together",
            "flush() once, after the loop",
        )
    return "10 of 10 records had arrived when your function returned"


SENDS = """
def send_all(producer, topic):
    for number in range(10):
        producer.send(topic, value=b"%d" % number)
"""

FLUSH = Exercise(
    id="flush",
    chapter="producers",
    text="""
        **Really sent.** Write `send_all(producer, topic)`. It sends the ten values `b"0"` to `b"9"`, without
        waiting after each, and returns within 3 seconds, when all ten have arrived. The producer that the check hands
        over waits up to 10 seconds for a batch to fill (`linger_ms=10_000`), and the check looks the moment your
        function returns. Leave the producer open.
    """,
    answers=["send_all"],
    start="""
        def send_all(producer, topic):
            ...  # your code
    """,
    check=check_flush,
    hints=[
        "send() returns before anything has left. What makes a producer send what it still holds?",
        "producer.flush() sends what is waiting, and returns when all of it has been answered.",
    ],
    reference=SENDS + "    producer.flush()",
    wrong={
        "no-flush": (SENDS, "0 of 10 records had arrived"),
        "closed": (SENDS + "    producer.close()", "leave it open"),
        "flush-each": (SENDS + "        producer.flush()", "each in a request of its own"),
        "get-each": (
            """
            def send_all(producer, topic):
                for number in range(10):
                    producer.send(topic, value=b"%d" % number).get(timeout=20)
            """,
            "does not hurry a batch",
        ),
        "one-short": (
            """
            def send_all(producer, topic):
                for number in range(1, 10):
                    producer.send(topic, value=b"%d" % number)
                producer.flush()
            """,
            "missing: 0",
        ),
        "own-producer": (
            """
            from kafka import KafkaProducer

            def send_all(producer, topic):
                with KafkaProducer(**lab.client) as own:
                    for number in range(10):
                        own.send(topic, value=b"%d" % number)
            """,
            "another producer has sent them",
        ),
    },
)

# ---- headers -------------------------------------------------------------------------------------------------------

ORDER = {"item": "tea", "price": 3}


def check_headers(lab):
    found = records(lab, lab.name("headers"))
    if found.empty:
        raise NotAttempted("the topic has no records")
    last = found.iloc[-1]
    try:
        value = json.loads(last["value"] or "")
    except ValueError:
        raise Incorrect(
            f"the last value is {last['value']!r}, which is not JSON",
            json.dumps(ORDER),
            "json.dumps(order) makes the text; str(order) makes Python's own notation",
        ) from None
    if value == {**ORDER, "price": str(ORDER["price"])}:
        raise Incorrect("the price is a text", "a number", '{"item": "tea", "price": 3}: no quotes around the 3')
    if not isinstance(value, dict):
        raise Incorrect(
            f"the last value is a JSON {type(value).__name__}, {value!r}",
            "an object",
            "json.dumps(order), without str()",
        )
    if value != ORDER:
        raise Incorrect(
            f"the last value holds {value}",
            f"{ORDER} and nothing else",
            "the trace goes into a header, and the value has the order alone",
        )
    if not last["headers"]:
        raise Incorrect("the last record has no headers", "a header trace", 'headers=[("name", b"bytes")]')
    if last["headers"].get("trace") != "t-1":
        raise Incorrect(
            f"the last record has the headers {last['headers']}",
            "trace with the value t-1",
            "a header's name is taken to the letter, and its value is bytes",
        )
    if last["key"] != "ada":
        raise Incorrect(f"the last record's key is {last['key']!r}", "the key ada", 'send(topic, key=b"ada", ...)')
    return "ada's order is JSON, and its header trace says t-1"


HEADERS = Exercise(
    id="headers",
    chapter="producers",
    topic="headers",
    text="""
        **A label on the parcel.** Send one order to `topic`: key `ada`, value `{"item": "tea", "price": 3}` as
        JSON, and a header `trace` with the value `t-1`. A header travels with the record and is not part of its
        value.
    """,
    prepare=lambda lab: lab.topic("headers"),
    check=check_headers,
    hints=[
        "send() takes value=, key= and headers=. Kafka wants bytes.",
        "headers is a list of pairs: a name, which is text, and a value, which is bytes.",
        'json.dumps(order).encode() makes the value, and headers=[("trace", b"t-1")] the label.',
    ],
    reference="""
        import json

        from kafka import KafkaProducer

        order = {"item": "tea", "price": 3}
        producer = KafkaProducer(**lab.client)
        producer.send(topic, key=b"ada", value=json.dumps(order).encode(), headers=[("trace", b"t-1")])
        producer.close()
    """,
    wrong={
        "not-json": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            value = str({"item": "tea", "price": 3}).encode()
            producer.send(topic, key=b"ada", value=value, headers=[("trace", b"t-1")])
            producer.close()
            """,
            "which is not JSON",
        ),
        "no-header": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"ada", value=b'{"item": "tea", "price": 3}')
            producer.close()
            """,
            "no headers",
        ),
        "in-the-value": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"ada", value=b'{"item": "tea", "price": 3, "trace": "t-1"}')
            producer.close()
            """,
            "the trace goes into a header, and the value has the order alone",
        ),
        "a-text-in-a-text": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            value = b'"tea, 3"'
            producer.send(topic, key=b"ada", value=value, headers=[("trace", b"t-1")])
            producer.close()
            """,
            "is a JSON str",
        ),
        "capital": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            value = b'{"item": "tea", "price": 3}'
            producer.send(topic, key=b"ada", value=value, headers=[("Trace", b"t-1")])
            producer.close()
            """,
            "taken to the letter",
        ),
        "no-key": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=b'{"item": "tea", "price": 3}', headers=[("trace", b"t-1")])
            producer.close()
            """,
            "key is None",
        ),
    },
)

# ---- own-partitioner -----------------------------------------------------------------------------------------------

VIPS = ["vip-ada", "vip-ben", "vip-cho"]
OTHERS = ["vipula", "ben-vip-1", *(f"user-{number}" for number in range(23))]  # 25: turns of 3 do not come out even


class Watched(Partitioner):
    """The learner's partitioner; keeps what is no partition of the topic, since a producer waits long for one."""

    def __init__(self, partitioner):
        self.partitioner, self.missing = partitioner, []

    def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
        number = self.partitioner.partition(topic, key, serialized_key, value, serialized_value, cluster)
        if isinstance(number, Integral) and number in cluster.partitions_for_topic(topic):
            return number
        self.missing.append((key, number))
        return 0


def send_with(VipFirst, client, topic, keys):
    """Sends a record for each key with a new partitioner of the learner's.

    Returns (key, number) for each number that was no partition of the topic: such a record goes to partition 0.
    """
    watched = Watched(call(VipFirst))
    with closing(KafkaProducer(partitioner=watched, **client)) as producer:
        sent = [call(producer.send, topic, b"o" * number, key.encode()) for number, key in enumerate(keys)]
        producer.flush()
        for one in sent:
            call(one.get, 10)
    return watched.missing


def check_own_partitioner(lab, VipFirst):
    if not callable(VipFirst):
        raise Incorrect(f"VipFirst is {VipFirst!r}"[:80], "the class itself", "without brackets: the check makes one")
    topic = lab.topic("vips", partitions=4)
    keys = VIPS + OTHERS
    there = elsewhere(send_with, VipFirst, lab.client, topic, keys[::-1])
    if missing := send_with(VipFirst, lab.client, topic, keys):
        key, number = missing[0]
        advice = "a remainder of n lies between 0 and n - 1; add nothing that leads beyond the last partition"
        if not isinstance(number, Integral):
            advice = "a return on each way, of a whole number: the remainder of whole numbers is one"
        raise Incorrect(f"for {key} it returned {number!r}", "a partition of the topic: 0, 1, 2 or 3", advice)
    where = records(lab, topic).groupby("key")["partition"].agg(set).to_dict()
    strayed = [key for key in VIPS if where[key] != {0}]
    if strayed:
        raise Incorrect(
            f"{strayed[0]} went to partition {listed(sorted(where[strayed[0]]))}",
            "every key that begins with vip- in partition 0",
            "serialized_key is bytes: serialized_key.startswith(b'vip-')",
        )
    guests = [key for key in OTHERS if 0 in where[key]]
    if guests:
        raise Incorrect(
            f"{len(guests)} of {len(OTHERS)} other users went to partition 0, {guests[0]} for one",
            "the others in partitions 1 to 3 only",
            "a VIP's key begins with vip- and the dash counts"
            if set(guests) <= {"vipula", "ben-vip-1"}
            else "a remainder of the number of partitions can be 0: take one less, and add 1",
        )
    used = sorted(set().union(*(where[key] for key in OTHERS)))
    if len(used) < 3:
        raise Incorrect(
            f"the others use partition {listed(used)} only",
            "partitions 1, 2 and 3",
            "spread them by the key's hash, and ask cluster.partitions_for_topic(topic) how many there are",
        )
    there()
    where = records(lab, topic).groupby("key")["partition"].agg(set).to_dict()
    split = [key for key in OTHERS if len(where[key]) > 1]
    if split:
        raise Incorrect(
            f"{split[0]} went to partitions {listed(sorted(where[split[0]]))}",
            "one partition for each key",
            "compute it from the key alone, as murmur2 does: no counter, chance, memory or value; and hash() differs "
            "from process to process",
        )
    if missing := send_with(VipFirst, lab.client, lab.topic("vips-of-three", partitions=3), keys):
        key, number = missing[0]
        advice = "ask cluster.partitions_for_topic(topic) how many there are"
        raise Incorrect(f"in a topic of three partitions, it returned {number} for {key}", "0, 1 or 2", advice)
    return "VIPs have partition 0 to themselves, and the others share 1, 2 and 3"


def vip_first(others):
    """The source of a partitioner that takes 0 for VIPs, and this expression for the others."""
    return f"""
        from kafka.partitioner import Partitioner, murmur2

        class VipFirst(Partitioner):
            def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                return 0 if serialized_key.startswith(b"vip-") else {others}
    """


OWN_PARTITIONER = Exercise(
    id="own-partitioner",
    chapter="producers",
    text="""
        **A lane for VIPs.** Write a partitioner, for a topic with two or more partitions. Keys that begin with
        `vip-` go to partition 0, and all others never do. Each of the others always goes to the same partition, and
        together they use all that are left. `murmur2` is Kafka's own hash of bytes.
    """,
    answers=["VipFirst"],
    start="""
        from kafka.partitioner import Partitioner, murmur2


        class VipFirst(Partitioner):
            def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                ...  # your code: return the partition's number
    """,
    check=check_own_partitioner,
    hints=[
        "cluster.partitions_for_topic(topic) is the set of the topic's partitions. serialized_key is bytes.",
        "With n partitions, the others share n - 1 of them: murmur2(serialized_key) % (n - 1) is between 0 and n - 2.",
        "Add 1 to that, and partition 0 stays free.",
    ],
    reference="""
        from kafka.partitioner import Partitioner, murmur2


        class VipFirst(Partitioner):
            def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                if serialized_key.startswith(b"vip-"):
                    return 0
                others = len(cluster.partitions_for_topic(topic)) - 1
                return 1 + murmur2(serialized_key) % others
    """,
    wrong={
        "one-too-many": (
            vip_first("1 + murmur2(serialized_key) % len(cluster.partitions_for_topic(topic))"),
            "it returned 4",
        ),
        "a-float": (vip_first("1 + murmur2(serialized_key) % 3 / 1"), "a whole number"),
        "no-return": (vip_first("None"), "a return on each way"),
        "one-made": (
            """
            from kafka.partitioner import DefaultPartitioner
            VipFirst = DefaultPartitioner()
            """,
            "the class itself",
        ),
        "others-too": (vip_first("murmur2(serialized_key) % 4"), "other users went to partition 0"),
        "all-in-one": (vip_first("1"), "the others use partition 1 only"),
        "turns": (
            """
            from itertools import count
            from kafka.partitioner import Partitioner
            class VipFirst(Partitioner):
                turn = count()
                def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                    return 0 if serialized_key.startswith(b"vip-") else 1 + (next(self.turn) // 5) % 3
            """,
            "no counter, chance",
        ),
        "in-turn": (
            """
            from kafka.partitioner import Partitioner
            class VipFirst(Partitioner):
                turn = 0
                def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                    self.turn += 1
                    return 0 if serialized_key.startswith(b"vip-") else 1 + self.turn % 3
            """,
            "ben-vip-1 went to partitions 1, 3",
        ),
        "remembered": (
            """
            from kafka.partitioner import Partitioner
            class VipFirst(Partitioner):
                def __init__(self):
                    self.seen = {}
                def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                    turn = self.seen.setdefault(key, len(self.seen))
                    return 0 if serialized_key.startswith(b"vip-") else 1 + turn % 3
            """,
            "ben-vip-1 went to partitions 2, 3",
        ),
        "for-four-only": (vip_first("1 + murmur2(serialized_key) % 3"), "in a topic of three partitions"),
        "no-dash": (
            """
            from kafka.partitioner import Partitioner, murmur2
            class VipFirst(Partitioner):
                def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                    if b"vip" in serialized_key:
                        return 0
                    return 1 + murmur2(serialized_key) % 3
            """,
            "the dash counts",
        ),
        "hash-in-a-helper": (
            """
            from kafka.partitioner import Partitioner

            def bucket(key):
                return 1 + hash(key) % 3

            class VipFirst(Partitioner):
                def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
                    return 0 if serialized_key.startswith(b"vip-") else bucket(serialized_key)
            """,
            "and hash() differs",
        ),
        "pythons-hash": (vip_first("1 + hash(serialized_key) % 3"), "differs from process to process"),
        "default": (
            """
            from kafka.partitioner import DefaultPartitioner
            class VipFirst(DefaultPartitioner):
                pass
            """,
            "every key that begins with vip- in partition 0",
        ),
    },
)

# ---- compressed ----------------------------------------------------------------------------------------------------

VALUES = [f'{{"order": {number}, "item": "tea", "note": "please wrap it as a present"}}' for number in range(300)]


def size_on_disk(lab, topic):
    """The bytes of the topic's partitions in the brokers' log folders; NotReady where the cluster does not tell."""
    try:
        brokers = ask(lab, lambda admin: admin.describe_log_dirs([topic]))
    except KafkaError as error:
        raise NotReady(
            "This cluster does not tell how large a topic is.", str(error), "solve it on your own broker"
        ) from error
    folders = [folder for one in brokers for folder in one["log_dirs"]]
    return sum(p["partition_size"] for folder in folders for t in folder["topics"] for p in t["partitions"])


def check_compressed(lab):
    topic = lab.name("compressed")
    found = records(lab, topic)
    if found.empty:
        raise NotAttempted("the topic has no records", UNSENT)
    again = 'Begin afresh with practice.task("compressed", lab)'
    if ran_again(VALUES, found["value"]):
        raise Incorrect(
            f"{len(found)} records: your cell ran more than once",
            "the 300 values, once each",
            f"{again}, and run your cell once",
        )
    if wrong := lost_or_twice(VALUES, found["value"]):
        advice = "let the producer compress: it packs whole batches, and consumers unpack without being told"
        if set(found["value"]) < set(VALUES):
            advice = "send all 300; flush() or close() waits until they have arrived"
        elif len(found) == len(VALUES) and all(isinstance(value, str) for value in found["value"]):
            advice = "send each value as it is: value.encode(), and nothing else; json.dumps would quote it once more"
        raise Incorrect(wrong, "the 300 values, readable and once each", f"{advice}. {again}")
    plain, disk = sum(map(len, VALUES)), size_on_disk(lab, topic)
    seen = f"{plain} bytes of values take {disk} bytes on the broker's disk"
    if disk > plain:
        raise Incorrect(
            seen,
            "less than a quarter",
            f"set compression_type, and let a batch fill: a batch of one record has nothing to compress. {again}",
        )
    if disk > plain / 4:
        advice = (
            "compress all 300, in large batches, which repeat more: compression_type for every producer, and linger_ms "
            f"gives batches time to fill. {again}"
        )
        raise Incorrect(seen, "less than a quarter", advice)
    return seen


COMPRESSED = Exercise(
    id="compressed",
    chapter="producers",
    topic="compressed",
    text="""
        **Less on the disk.** Send all of `values` to `topic`, so that they take less than a quarter of their size
        on the broker's disk. Every consumer must read them as they are here.
    """,
    prepare=lambda lab: lab.topic("compressed"),
    start="""
        wish = "please wrap it as a present"
        values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
    """,
    check=check_compressed,
    hints=[
        "A producer has a setting for it: compression_type. gzip, snappy, lz4 and zstd are there.",
        "What is compressed is a batch. If you wait for each record, every batch holds one.",
        'KafkaProducer(compression_type="lz4", linger_ms=50, **lab.client), and send all before you flush.',
    ],
    reference="""
        from kafka import KafkaProducer

        wish = "please wrap it as a present"
        values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
        producer = KafkaProducer(compression_type="lz4", linger_ms=50, **lab.client)
        for value in values:
            producer.send(topic, value=value.encode())
        producer.close()
    """,
    wrong={
        "plain": (
            """
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(linger_ms=50, **lab.client)
            for value in values:
                producer.send(topic, value=value.encode())
            producer.close()
            """,
            "set compression_type",
        ),
        "some-only": (
            """
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(compression_type="lz4", linger_ms=50, **lab.client)
            for value in values[:100]:
                producer.send(topic, value=value.encode())
            producer.close()
            """,
            "flush() or close() waits",
        ),
        "quoted": (
            """
            import json
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(compression_type="lz4", linger_ms=50, **lab.client)
            for value in values:
                producer.send(topic, value=json.dumps(value).encode())
            producer.close()
            """,
            "json.dumps would quote it once more",
        ),
        "run-twice": (
            """
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(compression_type="lz4", linger_ms=50, **lab.client)
            for value in values * 2:
                producer.send(topic, value=value.encode())
            producer.close()
            """,
            "your cell ran more than once",
        ),
        "batches-of-one": (
            """
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(compression_type="lz4", **lab.client)
            for value in values:
                producer.send(topic, value=value.encode()).get(timeout=10)
            producer.close()
            """,
            "a batch of one record has nothing to compress",
        ),
        "by-hand": (
            """
            import gzip
            from kafka import KafkaProducer
            wish = "please wrap it as a present"
            values = [f'{{"order": {number}, "item": "tea", "note": "{wish}"}}' for number in range(300)]
            producer = KafkaProducer(linger_ms=50, **lab.client)
            producer.send(topic, value=gzip.compress("".join(values).encode()))
            producer.close()
            """,
            "let the producer compress",
        ),
    },
)

# ---- no-loss -------------------------------------------------------------------------------------------------------

PAYMENTS = [(user, f"{user}-{number}") for number in range(10) for user in ("ada", "ben", "cho")]
attempts = count(1)


class Outage:
    """kill -9 for the course's own single broker; it starts again a second later, or when the function returns."""

    def __init__(self, lab):
        self.lab = lab
        self.possible = lab.kind == "embedded" and "," not in lab.bootstrap
        self.returned = threading.Event()
        self.back = threading.Thread(target=self._revive)
        self.failure = None
        self.log = logging.getLogger("kafka")
        self.level = self.log.level

    def begin(self):
        if self.possible:
            self.log.setLevel(logging.CRITICAL)  # the clients would report each failed connection
            broker.kill(1, brokers=1)
            self.back.start()

    def end(self):
        """Waits until the broker serves again; returns whether it was still down when this was called.

        Raises the LabError of a broker that does not start.
        """
        down = self.back.is_alive()
        self.returned.set()
        if self.back.ident:
            self.back.join()
            self.log.setLevel(self.level)
            if self.failure:
                raise self.failure
            self.lab.admin.close()  # it has been refused many times, and would not try again for seconds
            self.lab.admin = KafkaAdminClient(**self.lab.client)
        return down

    def _revive(self):
        self.returned.wait(1)
        try:
            broker.revive(1, brokers=1)
        except LabError as error:
            self.failure = error


def payments(outage):
    """Hands out the payments; in the middle the broker dies."""
    for number, (user, value) in enumerate(PAYMENTS):
        if number == len(PAYMENTS) // 2:
            outage.begin()
        yield user.encode(), value.encode()


def bury_producers():
    """Frees the producers that a learner's code left open, without what they complain of in red."""
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = before


def check_no_loss(lab, pay_all):
    topic = lab.topic(f"payments-{next(attempts)}", partitions=3)  # a producer left behind sends on, into the old one
    outage, client = Outage(lab), {**lab.client, "reconnect_backoff_max_ms": 500}
    try:
        call(pay_all, client, topic, payments(outage), seconds=30)
    except CodeRaised as raised:
        if not isinstance(raised.error, OutOfTime):
            raise
        raise Incorrect(
            "after 30 s your function had not returned",
            "a return soon after the broker is back",
            "keep the default delivery_timeout_ms: an idempotent producer with an expired record never sends again "
            "(on a busy computer, run the check once more)",
        ) from raised
    finally:
        too_early = outage.end()
        bury_producers()
    if too_early:
        raise Incorrect(
            "your function returned while the broker was down",
            "a return only when every payment is confirmed",
            "flush(), and get() on every future: a future that nobody asks keeps its error to itself",
        )
    found = records(lab, topic)
    if wrong := lost_or_twice([value for _, value in PAYMENTS], found["value"]):
        raise Incorrect(
            wrong,
            "all 30 payments, once each",
            "the defaults retry until delivery_timeout_ms, and write once: give them time, send nothing twice. "
            "Without idempotence (acks=1) a retry may double; with acks=0 nobody answers or retries",
        )
    for user, theirs in found.groupby("key"):
        if list(theirs["value"]) != [value for owner, value in PAYMENTS if owner == user]:
            raise Incorrect(
                f"in the log, {user}'s payments are {', '.join(theirs['value'])}",
                f"{user}-0 to {user}-9, in this order",
                "key=user, and leave it to the producer to retry: what you send later lands behind. So does what the "
                "producer sends again, when it is not idempotent (acks=1)",
            )
    if found["key"].nunique() < 3:
        raise Incorrect("payments without their user as key", "key=user on each", "send(topic, key=user, value=value)")
    through = "across a kill -9 of the broker" if outage.possible else "(the broker is not ours to kill: without one)"
    return f"30 payments, each once and in order, {through}"


NO_LOSS = Exercise(
    id="no-loss",
    chapter="producers",
    text="""
        **Nothing lost.** Write `pay_all(client, topic, payments)`. `client` holds the settings of every client, as
        `lab.client` does, and `payments` hands out pairs of user and value, both bytes. Make a producer, send each
        payment with its user as key, and return when every one is confirmed. Half-way the check kills the broker
        and starts it again. No payment may be lost, doubled, or behind a later one of the same user.
    """,
    answers=["pay_all"],
    start="""
        def pay_all(client, topic, payments):
            ...  # your code
    """,
    check=check_no_loss,
    hints=[
        "The default settings retry for two minutes and write each record once (enable_idempotence). Trust them.",
        "flush() waits, and returns quietly even if a record failed. Who can tell you that it did?",
        "Keep what send() returns, and after flush() call get() on each: it raises what went wrong.",
    ],
    reference="""
        from kafka import KafkaProducer


        def pay_all(client, topic, payments):
            producer = KafkaProducer(acks="all", enable_idempotence=True, **client)
            sent = [producer.send(topic, key=user, value=value) for user, value in payments]
            producer.flush()
            for one in sent:
                one.get(timeout=60)  # raises if this one failed
            producer.close()
    """,
    wrong={
        "no-wait": (
            """
            from kafka import KafkaProducer
            def pay_all(client, topic, payments):
                producer = KafkaProducer(**client)
                for user, value in payments:
                    producer.send(topic, key=user, value=value)
            """,
            "returned while the broker was down",
        ),
        "gives-up": (
            """
            from kafka import KafkaProducer
            from kafka.errors import KafkaError
            def pay_all(client, topic, payments):
                producer = KafkaProducer(request_timeout_ms=1000, delivery_timeout_ms=1500, **client)
                for user, value in payments:
                    try:
                        producer.send(topic, key=user, value=value).get(timeout=10)
                    except KafkaError:
                        producer = KafkaProducer(**client)
                producer.close()
            """,
            "missing: ",
        ),
        "sends-again": (
            """
            from kafka import KafkaProducer
            from kafka.errors import KafkaTimeoutError
            def pay_all(client, topic, payments):
                producer = KafkaProducer(**client)
                for user, value in payments:
                    try:
                        producer.send(topic, key=user, value=value).get(timeout=0.2)
                    except KafkaTimeoutError:
                        producer.send(topic, key=user, value=value)
                producer.close()
            """,
            "more than once: ",
        ),
        "failed-ones-last": (
            """
            from kafka import KafkaProducer
            from kafka.errors import KafkaError
            def pay_all(client, topic, payments):
                producer = KafkaProducer(request_timeout_ms=1000, delivery_timeout_ms=1500, **client)
                failed = []
                for user, value in payments:
                    try:
                        producer.send(topic, key=user, value=value).get(timeout=10)
                    except KafkaError:
                        failed.append((user, value))
                        producer = KafkaProducer(**client)
                for user, value in failed:
                    producer.send(topic, key=user, value=value)
                producer.close()
            """,
            "what you send later lands behind",
        ),
    },
)

EXERCISES = [FLUSH, HEADERS, OWN_PARTITIONER, COMPRESSED, NO_LOSS]
