"""Exercises on topics and partitions."""

from contextlib import closing
from itertools import permutations

from kafka import KafkaProducer

from ..broker_state import UNSENT, ends, listed, lost_or_twice, partition_of, ran_again, records, send
from ..exercise import Exercise, Incorrect, NotAttempted
from ..learner import call, elsewhere

# ---- same-key ------------------------------------------------------------------------------------------------------

STEPS = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]


def check_same_key(lab):
    found = records(lab, lab.name("steps"))
    if found.empty:
        raise NotAttempted("the topic has no records", UNSENT)
    again = 'Begin afresh with practice.task("same-key", lab)'
    if found["key"].isna().any():
        raise Incorrect("records without a key", "the user as key", f"send(topic, key=..., value=...). {again}")
    values = [value for _, value in STEPS]
    if wrong := lost_or_twice(values, found["value"]):
        twice = ran_again(values, found["value"])
        advice = "your cell ran more than once" if twice else "the second of each pair is the value"
        if set(found["value"]) < set(values) and not found["value"].duplicated().any():
            advice = "send all twelve; flush() or close() waits until they have arrived"
        raise Incorrect(wrong, "the 12 values, once each", f"{advice}. {again}")
    shared = found.groupby("key")["value"].agg(lambda values: len({value[:3] for value in values}))
    if shared.max() > 1:
        raise Incorrect(
            f"{shared.max()} users have the key {shared.idxmax()!r}",
            "the user as key",
            f"whose users share a key share a partition: with one key for all, the others stay empty. {again}",
        )
    for user in ("ada", "ben", "cho"):
        theirs = found[found["value"].str.startswith(user)]
        used = sorted(set(theirs["partition"]))
        for row in theirs.itertuples():
            if partition_of(row.key, 3) != row.partition:
                raise Incorrect(
                    f"{user}'s records are in partition {row.partition}, and the key says {partition_of(row.key, 3)}",
                    "the key alone decides",
                    f"leave partition= and partitioner= out, and the topic as it is. {again}",
                )
        if len(used) > 1:
            raise Incorrect(
                f"{user}'s records are in partitions {listed(used)}",
                "one partition for each user",
                f"the same key leads to the same partition: what do {user}'s records share? {again}",
            )
        expected = [value for owner, value in STEPS if owner == user]
        if list(theirs["value"]) != expected:
            raise Incorrect(
                f"in the log, {user}'s records are {listed(theirs['value'])}",
                listed(expected),
                f"a log keeps the order of arrival: send them in that order. {again}",
            )
    return "each user's four records are in one partition, in order"


SAME_KEY = Exercise(
    id="same-key",
    chapter="partitions",
    topic="steps",
    text="""
        **In order.** Send the twelve pairs of `steps` to `topic`, which has three partitions. Each user's four
        values must lie in one partition, and in order; other users' must be free to lie elsewhere. Do not name a
        partition yourself.
    """,
    prepare=lambda lab: lab.topic("steps", partitions=3),
    start="""
        steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
    """,
    check=check_same_key,
    hints=[
        "Order holds within a partition, and the key decides the partition.",
        "What must stay in order together gets the same key: here, what belongs to one user.",
    ],
    reference="""
        from kafka import KafkaProducer

        steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
        producer = KafkaProducer(**lab.client)
        for user, value in steps:
            producer.send(topic, key=user.encode(), value=value.encode())
        producer.close()
    """,
    wrong={
        "nine-sent": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            for user, value in steps[:9]:
                producer.send(topic, key=user.encode(), value=value.encode())
            producer.close()
            """,
            "flush() or close() waits",
        ),
        "told-the-partition": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            for user, value in steps:
                place = ("ada", "ben", "cho").index(user)
                producer.send(topic, key=user.encode(), value=value.encode(), partition=place)
            producer.close()
            """,
            "leave partition= and partitioner= out",
        ),
        "ran-twice": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in steps * 2:
                producer.send(topic, key=user.encode(), value=value.encode())
            producer.close()
            """,
            "your cell ran more than once",
        ),
        "no-key": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in steps:
                producer.send(topic, value=value.encode())
            producer.close()
            """,
            "records without a key",
        ),
        "a-key-each": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in steps:
                producer.send(topic, key=value.encode(), value=value.encode())
            producer.close()
            """,
            "ada's records are in partitions",
        ),
        "one-key": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in steps:
                producer.send(topic, key=b"steps", value=value.encode())
            producer.close()
            """,
            "3 users have the key 'steps'",
        ),
        "backwards": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in reversed(steps):
                producer.send(topic, key=user.encode(), value=value.encode())
            producer.close()
            """,
            "ada's records are ada-3, ada-2, ada-1, ada-0",
        ),
        "twice": (
            """
            from kafka import KafkaProducer
            steps = [(user, f"{user}-{number}") for number in range(4) for user in ("ada", "ben", "cho")]
            producer = KafkaProducer(**lab.client)
            for user, value in steps + steps[:1]:
                producer.send(topic, key=user.encode(), value=value.encode())
            producer.close()
            """,
            "more than once: ada-0",
        ),
    },
)

# ---- hot-key -------------------------------------------------------------------------------------------------------

VISITS = [("seoul", f"u{user}", f"seoul-u{user}-{number}") for number in range(4) for user in range(40)]
VISITS += [("jeju", f"u{user}", f"jeju-u{user}-{number}") for number in range(4) for user in range(5)]
MOST_KEYS = 16


SAME_EVERYWHERE = (
    "hash() of a text, what a program remembers and what it draws by chance differ from process to process: "
    "zlib.crc32(user.encode()) does not"
)


def keys_backwards(key_for):
    """The key of each visit, asked for from the last to the first."""
    return [key_for(shop, user) for shop, user, _ in reversed(VISITS)][::-1]


def check_hot_key(lab, key_for):
    topic = lab.topic("visits", partitions=4)
    there = elsewhere(keys_backwards, key_for)
    keys = [call(key_for, shop, user) for shop, user, _ in VISITS]
    if wrong := [key for key in keys if not isinstance(key, bytes)]:
        raise Incorrect(
            f"key_for returned {wrong[0]!r}", "bytes", 'a text becomes bytes with .encode(): f"...".encode()'
        )
    for key, (shop, _, _) in zip(keys, VISITS, strict=True):
        if not key.startswith(shop.encode()):
            seen = f"the key of a visit to {shop} is {key!r}"
            raise Incorrect(seen, "keys that begin with the shop's name", 'f"{shop}-...".encode()')
    send(lab, topic, [{"key": key, "value": v.encode()} for key, (_, _, v) in zip(keys, VISITS, strict=True)])
    found = records(lab, topic)
    found[["shop", "user", "number"]] = found["value"].str.split("-", expand=True)
    for (shop, user), theirs in found.groupby(["shop", "user"], sort=False):
        if theirs["partition"].nunique() > 1:
            raise Incorrect(
                f"the visits of {user} in {shop} are in partitions {listed(sorted(set(theirs['partition'])))}",
                "one partition for each user of a shop",
                "the bucket must be the same each time: compute it from the user, without chance and without a counter",
            )
    for (shop, user, _), here, key in zip(VISITS, keys, there() or keys, strict=True):
        if key != here:
            seen = f"the key of {user} in {shop} is {here!r} in one process, and {key!r} in another"
            raise Incorrect(seen, "the same key from every process", SAME_EVERYWHERE)
    shares = found[found["shop"] == "seoul"]["partition"].value_counts(normalize=True)
    if len(shares) < 3 or shares.max() > 0.75:
        raise Incorrect(
            f"seoul's visits use {len(shares)} of 4 partitions; the fullest holds {shares.max():.0%}",
            "at least 3, and none with more than 75%",
            "put a bucket into the key, shop-0, shop-1 and so on; if keys collide, try another number of buckets",
        )
    most = found.groupby("shop")["key"].nunique().max()
    if most > MOST_KEYS:
        raise Incorrect(
            f"seoul has {most} keys",
            f"at most {MOST_KEYS}: who asks for a shop's visits must know its keys",
            "let users share a fixed number of buckets: a number made from the user, % 8",
        )
    return f"seoul's visits use {len(shares)} partitions, the fullest holds {shares.max():.0%}, each user stays in one"


HOT_KEY = Exercise(
    id="hot-key",
    chapter="partitions",
    text="""
        **A hot key.** Eight of nine visits are in the shop `seoul`. With the shop as key, one partition gets them
        all. Write `key_for(shop, user)`, which returns the key of a visit as bytes. Spread a shop over at most 16
        keys that begin with its name, so that Seoul uses at least 3 of 4 partitions and none holds more than 75%.
        The visits of one user in one shop must stay in order.
    """,
    answers=["key_for"],
    start="""
        def key_for(shop, user):
            ...  # your code
    """,
    check=check_hot_key,
    hints=[
        'The key decides the partition: seoul-0 and seoul-1 lie in different ones, perhaps. Call 0 and 1 "buckets".',
        "A user must always get the same bucket. Which number can you make from a user's name?",
        "zlib.crc32(user.encode()) % 8. Python's hash(user) will not do: it differs from process to process.",
    ],
    reference="""
        import zlib


        def key_for(shop, user):
            bucket = zlib.crc32(user.encode()) % 8
            return f"{shop}-{bucket}".encode()
    """,
    wrong={
        "still-hot": (
            """
            def key_for(shop, user):
                return shop.encode()
            """,
            "seoul's visits use 1 of 4 partitions; the fullest holds 100%",
        ),
        "in-turn": (
            """
            from itertools import count
            turn = count()
            def key_for(shop, user):
                return f"{shop}-{next(turn) % 7}".encode()
            """,
            "without a counter",
        ),
        "remembered": (
            """
            seen = {}
            def key_for(shop, user):
                return f"{shop}-{seen.setdefault(user, len(seen)) % 8}".encode()
            """,
            "the key of u0 in seoul is b'seoul-0' in one process",
        ),
        "drawn-once": (
            """
            import random
            buckets = {}
            def key_for(shop, user):
                return f"{shop}-{buckets.setdefault(user, random.randrange(8))}".encode()
            """,
            "what it draws by chance",
        ),
        "user-only": (
            """
            def key_for(shop, user):
                return user.encode()
            """,
            "keys that begin with the shop's name",
        ),
        "one-shop": (
            """
            import zlib
            def key_for(shop, user):
                return f"seoul-{zlib.crc32(user.encode()) % 8}".encode()
            """,
            "the key of a visit to jeju",
        ),
        "a-key-each": (
            """
            def key_for(shop, user):
                return f"{shop}-{user}".encode()
            """,
            "seoul has 40 keys",
        ),
        "hash-in-a-helper": (
            """
            def bucket(user):
                return hash(user) % 8

            def key_for(shop, user):
                return f"{shop}-{bucket(user)}".encode()
            """,
            "what a program remembers",
        ),
        "pythons-hash": (
            """
            def key_for(shop, user):
                return f"{shop}-{hash(user) % 8}".encode()
            """,
            "hash() of a text",
        ),
        "text": (
            """
            def key_for(shop, user):
                return f"{shop}-{user}"
            """,
            "key_for returned 'seoul-u0'",
        ),
    },
)

# ---- how-many ------------------------------------------------------------------------------------------------------

PEAK, GROWTH, INTO_A_PARTITION, A_MEMBER = 60, 2, 25, 9  # MB/s, times, MB/s, MB/s


def check_how_many(lab, how_many):
    if not isinstance(how_many, int | float):
        raise Incorrect(f"how_many is {how_many!r}", "a whole number", "write the number alone: how_many = 5")
    if how_many != int(how_many):
        raise Incorrect(
            f"how_many is {how_many!r}", "a whole number", "there is no half partition: which way to round?"
        )
    future = PEAK * GROWTH
    writes, reads = -(-future // INTO_A_PARTITION), -(-future // A_MEMBER)
    needed, expected = max(writes, reads), "the smallest number that serves next year's peak"
    if how_many < writes:
        raise Incorrect(
            f"{how_many} partitions", expected, "the producers alone need more: peak, doubled, over 25 MB/s"
        )
    if how_many == -(-PEAK // A_MEMBER):
        raise Incorrect(f"{how_many} partitions: enough for today", expected, "in a year the peak has doubled")
    if how_many < needed:
        raise Incorrect(
            f"{how_many} partitions, so at most {how_many} members of billing, {how_many * A_MEMBER} MB/s",
            expected,
            "who is slower, the producers into a partition or a member that handles one? And round up",
        )
    if how_many > needed:
        raise Incorrect(
            f"{how_many} partitions",
            f"{expected}, and no more",
            "the two needs do not add up: the same partitions serve writers and readers"
            if how_many == writes + reads
            else "it is enough, but is it the fewest? Divide, then round up once",
        )
    return f"{needed} partitions: {writes} would do for the producers, and billing needs {reads} members"


HOW_MANY = Exercise(
    id="how-many",
    chapter="partitions",
    text="""
        **How many partitions?** You have measured: at its peak the topic gets 60 MB/s. The producers bring 25 MB/s
        into one partition. One member of the group `billing` handles 9 MB/s. In a year the peak will have doubled,
        and partitions should not be added before. How many do you need at least? Put the number into `how_many`.
    """,
    answers=["how_many"],
    start="""
        how_many = None  # your number
    """,
    check=check_how_many,
    hints=[
        "Two needs: the producers must get it in, and the group must get it out. The larger one counts.",
        "Each partition goes to one member of a group: as many partitions as members, at least.",
        "Peak in a year, divided by what one member handles, rounded up.",
    ],
    reference="""
        import math

        how_many = max(math.ceil(60 * 2 / 25), math.ceil(60 * 2 / 9))
    """,
    wrong={
        "writers-only": ("how_many = 5", "who is slower"),
        "today": ("how_many = 7", "enough for today"),
        "rounded-down": ("how_many = 13", "117 MB/s"),
        "sum": ("how_many = 19", "do not add up"),
        "half": ("how_many = 13.3", "no half partition"),
        "text": ('how_many = "14"', "write the number alone"),
        "one-more": ("how_many = 15", "is it the fewest?"),
        "too-few": ("how_many = 3", "the producers alone need more"),
    },
)

# ---- add-partition -------------------------------------------------------------------------------------------------

MEMBERS = ["ada", "ben", "cho", "dan", "eve", "fay"]


def make_members(lab):
    topic = lab.topic("members", partitions=3)
    send(lab, topic, [{"key": user.encode(), "value": b"joined"} for user in MEMBERS])


def check_add_partition(lab):
    found = records(lab, lab.name("members"))
    partitions = len(ends(lab, lab.name("members")))
    if partitions == 3 and len(found) <= len(MEMBERS):
        raise NotAttempted("three partitions, one record of each user")
    again = 'begin afresh with practice.task("add-partition", lab)'
    if partitions != 4:
        advice = "create_partitions takes the new total" if partitions < 4 else f"take one more, not more: {again}"
        raise Incorrect(f"the topic has {partitions} partitions", "4", advice)
    in_time = found.sort_values("timestamp", kind="stable")
    old, new = in_time[: len(MEMBERS)], in_time[len(MEMBERS) :]
    if set(old["key"]) != set(MEMBERS) or set(old["value"]) != {"joined"}:
        advice = f"create_partitions leaves the records alone; lab.topic makes a new topic: {again}"
        raise Incorrect("the six records from before are gone", "one of each user, and new ones", advice)
    if new.empty:
        raise Incorrect(
            "4 partitions, and no new records: the old ones have not moved",
            "a user with records in two partitions",
            "send something new for users that are there already",
        )
    if new["key"].isna().any():
        advice = f"send(topic, key=..., value=...). A log forgets nothing: {again}"
        raise Incorrect("a new record without a key", "the user as key", advice)
    for row in new.sort_values("timestamp").drop_duplicates("key", keep="last").itertuples():
        if partition_of(row.key, 4) != row.partition:
            old = "your producer is older than the partition, and counts 3: use a new one, and send again"
            raise Incorrect(
                f"the newest record of {row.key} is in partition {row.partition}, and its key says "
                f"{partition_of(row.key, 4)} of 4",
                "the key alone decides, with a producer that knows of all 4",
                old if partition_of(row.key, 3) == row.partition else "leave partition= out, and send again",
            )
    where = found.groupby("key")["partition"].agg(lambda numbers: sorted(set(numbers)))
    split = where[where.map(len) > 1]
    if split.empty:
        raise Incorrect(
            f"each user is in one partition; new records: {listed(sorted(set(new['key'])))}",
            "a user with records in two partitions",
            "not everybody moves: try every user that is there already",
        )
    return f"{split.index[0]} has records in partitions {split.iloc[0][0]} and {split.iloc[0][1]}: the order is broken"


ADD_PARTITION = Exercise(
    id="add-partition",
    chapter="partitions",
    topic="members",
    text="""
        **What adding one breaks.** `topic` has three partitions and one record of each of ada, ben, cho, dan, eve
        and fay. Give it a fourth partition. Then show the damage: send new records, with users as keys, until one
        user's records lie in two partitions.
    """,
    prepare=make_members,
    check=check_add_partition,
    hints=[
        "kafka-topics --alter and lab.admin.create_partitions both take the new total.",
        "murmur2(key) % 3 and murmur2(key) % 4 differ for most keys, not for all.",
        "lab.admin.create_partitions({topic: 4}), then a new producer, and a record for each of the six.",
    ],
    reference="""
        from kafka import KafkaProducer

        lab.admin.create_partitions({topic: 4})
        producer = KafkaProducer(**lab.client)
        for user in ("ada", "ben", "cho", "dan", "eve", "fay"):
            producer.send(topic, key=user.encode(), value=b"moved")
        producer.close()
    """,
    wrong={
        "too-many": ("lab.admin.create_partitions({topic: 6})", "the topic has 6 partitions"),
        "not-added": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"ada", value=b"moved", partition=0)
            producer.close()
            """,
            "the topic has 3 partitions",
        ),
        "made-anew": (
            """
            from kafka import KafkaProducer
            lab.topic("members", partitions=4)
            producer = KafkaProducer(**lab.client)
            for user in ("ada", "ben", "cho", "dan", "eve", "fay"):
                producer.send(topic, key=user.encode(), value=b"moved")
            producer.close()
            """,
            "lab.topic makes a new topic",
        ),
        "nothing-sent": ("lab.admin.create_partitions({topic: 4})", "no new records"),
        "one-that-stays": (
            """
            from kafka import KafkaProducer
            lab.admin.create_partitions({topic: 4})
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"ben", value=b"moved")
            producer.close()
            """,
            "not everybody moves",
        ),
        "told-the-partition": (
            """
            from kafka import KafkaProducer
            lab.admin.create_partitions({topic: 4})
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"ada", value=b"moved", partition=3)
            producer.close()
            """,
            "the newest record of ada is in partition 3, and its key says 1 of 4",
        ),
        "an-old-producer": (
            """
            from kafka import KafkaProducer
            producer = KafkaProducer(**lab.client)
            producer.send(topic, key=b"dan", value=b"moved", partition=0).get(timeout=10)
            lab.admin.create_partitions({topic: 4})
            producer.close()
            """,
            "your producer is older than the partition",
        ),
        "no-key": (
            """
            from kafka import KafkaProducer
            lab.admin.create_partitions({topic: 4})
            producer = KafkaProducer(**lab.client)
            producer.send(topic, value=b"moved")
            producer.close()
            """,
            "a new record without a key",
        ),
    },
)

# ---- wallet --------------------------------------------------------------------------------------------------------

EVENTS = [
    {"user": user, "order": f"o-{number + 2 * shift}", "kind": kind, "amount": amount + number}
    for number in range(3)
    for kind, amount, shift in (("charge", 10, 0), ("deduct", 8, 1))
    for user in ("ada", "eve", "ida")
]


def check_wallet(lab, send_all):
    topic = lab.topic("wallet", partitions=4)
    again = lab.topic("wallet-again", partitions=4)
    there = elsewhere(send_backwards, send_all, lab.client, again)
    with closing(KafkaProducer(**lab.client)) as producer:
        call(send_all, producer, topic, [dict(event) for event in EVENTS])
    found = records(lab, topic)
    if found.empty:
        raise Incorrect("an empty topic", "18 events in it", "send(topic, ...): the topic that send_all is given")
    if wrong := lost_or_twice([value_of(event) for event in EVENTS], found["value"]):
        advice = 'f"{user},{kind},{amount}".encode() is the value'
        if "not asked for" not in wrong:
            advice = "send every event of the list, charges and deducts, once"
        raise Incorrect(wrong, "each event once, as the text user,kind,amount", advice)
    if found["key"].isna().any():
        raise Incorrect("events without a key", "a key on each", "send(topic, key=..., value=...)")
    for row in found.itertuples():
        if partition_of(row.key, 4) != row.partition:
            raise Incorrect(
                f"{row.value} is in partition {row.partition}, and its key is {row.key!r}",
                "the key alone decides",
                "leave partition= out",
            )
    there()
    here = found.set_index("value")["key"].to_dict()
    for value, key in zip(*(records(lab, again)[column] for column in ("value", "key")), strict=True):
        if key != here.get(value, key):
            seen = f"the key of {value} is {here[value]!r} in one process, and {key!r} in another"
            raise Incorrect(seen, "the same key from every process: who sends may be any of them", WALLET_EVERYWHERE)
    if found["partition"].nunique() == 1:
        keys = sorted(set(found["key"]))
        advice = "a key that is the same for all makes one long queue"
        if len(keys) > 1:
            advice = f"the hashes of {listed(keys)} lead to one of four: write the keys in another way"
        raise Incorrect(
            f"all {len(found)} events are in partition {found['partition'].iloc[0]}",
            "users in different partitions, so that members can share the work",
            advice,
        )
    happened = [value_of(event) for event in EVENTS]
    for number, theirs in found.groupby("partition"):
        if list(theirs["value"]) != sorted(theirs["value"], key=happened.index):
            raise Incorrect(
                f"the events in partition {number} lie in another order than they happened",
                "the order of the list",
                "send the events one by one, as the list has them",
            )
    for order in permutations(sorted(set(found["partition"]))):
        if broke := overdrawn(found, order):
            raise Incorrect(
                f"when partitions are read in the order {listed(order)}, {broke}",
                "no balance below 0, in whichever order partitions are read",
                "partitions are read independently: what must not overtake must share a partition",
            )
    return f"{len(found)} events in {found['partition'].nunique()} partitions, and no balance ever below 0"


WALLET_EVERYWHERE = "the user's name is the same everywhere; hash() of it, or a number drawn or counted, is not"


def send_backwards(send_all, client, topic):
    with closing(KafkaProducer(**client)) as producer:
        send_all(producer, topic, [dict(event) for event in reversed(EVENTS)])


def value_of(event):
    return f"{event['user']},{event['kind']},{event['amount']}"


def overdrawn(found, order):
    """Reads the partitions in this order; says whose balance falls below 0 first, or ""."""
    balance = dict.fromkeys((event["user"] for event in EVENTS), 0)
    for number in order:
        for value in found[found["partition"] == number]["value"]:
            user, kind, amount = value.split(",")
            balance[user] += int(amount) if kind == "charge" else -int(amount)
            if balance[user] < 0:
                return f"{user}'s balance falls to {balance[user]}"
    return ""


def keyed(key):
    """The source of a send_all with this expression as the key."""
    return f"""
        def send_all(producer, topic, events):
            for event in events:
                value = f"{{event['user']}},{{event['kind']}},{{event['amount']}}"
                producer.send(topic, key={key}, value=value.encode())
    """


WALLET = Exercise(
    id="wallet",
    chapter="partitions",
    text="""
        **A wallet that is never overdrawn.** Write `send_all(producer, topic, events)`. Each event is a dict such
        as `{"user": "ada", "order": "o-1", "kind": "charge", "amount": 10}`; the kinds are charge and deduct, and
        the list is in the order in which things happened. The value to send is the text `ada,charge,10`. Choose the
        key so that whoever reads the partitions, in any order, never sees a balance below 0, and that not all lies
        in one partition. Do not name a partition yourself, and do not reorder the events.
    """,
    answers=["send_all"],
    start="""
        def send_all(producer, topic, events):
            ...  # your code
    """,
    check=check_wallet,
    hints=[
        "Which events must not overtake each other? A user's charge, and the deduct that it pays for.",
        "An order's events are not enough: the money for an order came with an earlier one.",
        "What they share is the owner of the money.",
    ],
    reference="""
        def send_all(producer, topic, events):
            for event in events:
                value = f"{event['user']},{event['kind']},{event['amount']}"
                producer.send(topic, key=event["user"].encode(), value=value.encode())
            producer.flush()
    """,
    wrong={
        "charges-only": (
            keyed("event['user'].encode()").replace("in events:", "in events[:3]:"),
            "send every event of the list",
        ),
        "by-kind": (keyed('event["kind"].encode()'), "ada's balance falls to -8"),
        "by-order": (keyed('event["order"].encode()'), "what must not overtake must share a partition"),
        "no-key": (
            """
            def send_all(producer, topic, events):
                for event in events:
                    value = f"{event['user']},{event['kind']},{event['amount']}"
                    producer.send(topic, value=value.encode(), partition=ord(event["user"][0]) % 3)
            """,
            "events without a key",
        ),
        "charges-first": (
            """
            def send_all(producer, topic, events):
                for event in sorted(events, key=lambda event: event["kind"]):
                    value = f"{event['user']},{event['kind']},{event['amount']}"
                    producer.send(topic, key=event["user"].encode(), value=value.encode())
            """,
            "partition 0 lie in another order than they happened",
        ),
        "user-by-user": (
            """
            def send_all(producer, topic, events):
                for event in sorted(events, key=lambda event: event["user"]):
                    value = f"{event['user']},{event['kind']},{event['amount']}"
                    producer.send(topic, key=event["user"].encode(), value=value.encode())
            """,
            "partition 1 lie in another order than they happened",
        ),
        "one-queue": (keyed('b"wallet"'), "makes one long queue"),
        "keys-that-collide": (keyed("f\"wallet-{event['user']}\".encode()"), "write the keys in another way"),
        "pythons-hash": (keyed("f\"{hash(event['user']) % 1000}\".encode()"), "hash() of it, or"),
        "counted": (
            """
            numbers = {}
            def send_all(producer, topic, events):
                for event in events:
                    value = f"{event['user']},{event['kind']},{event['amount']}"
                    number = numbers.setdefault(event["user"], 3 + len(numbers))
                    producer.send(topic, key=f"{number}".encode(), value=value.encode())
            """,
            "a number drawn or counted",
        ),
        "to-nowhere": (
            """
            def send_all(producer, topic, events):
                for event in events:
                    ", ".join(event)
            """,
            "an empty topic",
        ),
        "another-value": (
            """
            def send_all(producer, topic, events):
                for event in events:
                    producer.send(topic, key=event["user"].encode(), value=str(event["amount"]).encode())
            """,
            "as the text user,kind,amount",
        ),
    },
)

EXERCISES = [SAME_KEY, HOT_KEY, HOW_MANY, ADD_PARTITION, WALLET]
