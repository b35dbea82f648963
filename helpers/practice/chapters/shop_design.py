"""Exercises on the design of the shop: partitions, drift, a dead letter queue, an alarm."""

import time
from collections import Counter

from kafka.admin import ConfigResource, ConfigResourceType

from ...observe.ask import ask
from ..broker_state import check_sorted_list, ends, listed, lost_or_twice, partition_of, records, send
from ..exercise import Exercise, Incorrect, NotAttempted
from ..learner import call

# ---- enough-partitions ---------------------------------------------------------------------------------------------

RATES = {(900, 300, 200): 5, (1000, 300, 200): 5, (1001, 5000, 1000): 2, (900, 100, 400): 9, (1, 5000, 900): 1}


def check_enough(lab, partitions_needed):
    for rates, right in RATES.items():
        found = call(partitions_needed, *rates)
        if found != right:
            raise Incorrect(
                f"partitions_needed{rates} is {found!r}",
                "the smallest number that is enough for both",
                advice_on_enough(rates, right, found),
            )
    return f"right for {len(RATES)} rates, the last needs one partition"


def advice_on_enough(rates, right, found):
    """What may be wrong, by the number that came out."""
    arriving, produce, consume = rates
    if found is None:
        return "it returns nothing: is there a return?"
    if not isinstance(found, int):
        return "a whole number of partitions: round up"
    if found == arriving // min(produce, consume):
        return "rounded down, the last part of the rate has no partition"
    if found == -(-arriving // max(produce, consume)):
        return "the slower side decides: the larger of T/p and T/c"
    return f"T/p is {arriving / produce:.2f}, T/c is {arriving / consume:.2f}: the larger one, rounded up"


ENOUGH = Exercise(
    id="enough-partitions",
    chapter="design",
    text="""
        **Enough partitions.** `rate` records a second arrive; one partition takes `produce` a second, and one consumer
        handles `consume` a second. Write `partitions_needed(rate, produce, consume)`: the smallest whole number of
        partitions that is enough for both.
    """,
    answers=["partitions_needed"],
    start="""
        def partitions_needed(rate, produce, consume):
            # your code
            ...
    """,
    check=check_enough,
    hints=[
        "A partition has one consumer of a group: n partitions take n × produce, and n × consume are handled.",
        "Both must be at least the rate: max(rate / produce, rate / consume).",
        "math.ceil rounds up.",
    ],
    reference="""
        import math

        def partitions_needed(rate, produce, consume):
            return math.ceil(max(rate / produce, rate / consume))
    """,
    wrong={
        "rounded-down": (
            "def partitions_needed(rate, produce, consume):\n    return int(max(rate / produce, rate / consume))",
            "rounded down",
        ),
        "the-smaller": (
            "def partitions_needed(rate, produce, consume):\n    return -(-rate // max(produce, consume))",
            "the slower side decides",
        ),
        "a-fraction": (
            "def partitions_needed(rate, produce, consume):\n    return max(rate / produce, rate / consume)",
            "a whole number",
        ),
        "nothing-returned": (
            "def partitions_needed(rate, produce, consume):\n    print(-(-rate // min(produce, consume)))",
            "is there a return?",
        ),
        "the-sum": (
            "def partitions_needed(rate, produce, consume):\n    return -(-rate // produce) + -(-rate // consume)",
            "T/p is 3.00, T/c is 4.50",
        ),
    },
)

# ---- mend-drift ----------------------------------------------------------------------------------------------------

DAY, WISHES = 24 * 60 * 60 * 1000, 12
DECLARED = (6, 7 * DAY)  # partitions, retention.ms


def make_wishes(lab):
    topic = lab.topic("wishes", partitions=3, retention_ms=DAY)
    send(lab, topic, [{"key": b"u-%d" % n, "value": b"a wish"} for n in range(WISHES)])


def wishes_now(lab, topic):
    """(partitions, retention.ms) as the broker has them."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = ask(lab, lambda admin: admin.describe_configs([resource], config_filter="all"))
    found = described["topic"][topic]["retention.ms"]
    return len(ends(lab, topic)), int(found["value"] if isinstance(found, dict) else found)


def check_mended(lab):
    topic = lab.name("wishes")
    found = records(lab, topic)
    kept = len(found)
    in_place = sum(row.partition == partition_of(row.key, 3) for row in found.itertuples() if row.key)
    until = time.monotonic() + 2  # a change takes a moment to arrive
    while (now := wishes_now(lab, topic)) != DECLARED and time.monotonic() < until:
        time.sleep(0.1)
    partitions, keeps = now
    seen = f"{partitions} partitions, retention.ms {keeps}, {kept} records"
    if now == (3, DAY) and kept == WISHES:
        raise NotAttempted(seen)
    if kept < WISHES:
        raise Incorrect(seen, f"{WISHES} records", "a deleted topic is deleted with its records: change it in place")
    if in_place < WISHES:
        raise Incorrect(f"{seen}, {in_place} where they were", "each where it was", "change the topic that is there")
    if partitions > DECLARED[0]:
        raise Incorrect(seen, "six partitions", "partitions cannot be taken away: practice.task makes the topic afresh")
    if partitions < DECLARED[0]:
        raise Incorrect(seen, "six partitions", "lab.admin.create_partitions({topic: ...})")
    if keeps != DECLARED[1]:
        raise Incorrect(seen, "seven days", "lab.admin.alter_configs([...]), in milliseconds")
    return f"{seen} where they were; a key that is sent from now on may go elsewhere, and overtake them"


PARTITIONS = "lab.admin.create_partitions({topic: %d})"
KEEP = """
from kafka.admin import ConfigResource, ConfigResourceType
days = {"retention.ms": str(7 * 24 * 60 * 60 * 1000)}
lab.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=days)])
"""

MEND_DRIFT = Exercise(
    id="mend-drift",
    chapter="design",
    topic="wishes",
    text="""
        **Mend the drift.** The declaration says: six partitions, kept for seven days. On the broker, `topic` has three
        partitions and keeps its records for one day. Bring the topic to what is declared, without losing a record.
    """,
    prepare=make_wishes,
    check=check_mended,
    hints=[
        "Two calls of lab.admin: one for the number of partitions, one for a setting. Neither touches the records.",
        "lab.admin.create_partitions({topic: 6}) sets the whole number, not how many are added.",
        'alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "604800000"})])',
    ],
    reference=PARTITIONS % 6 + KEEP,
    wrong={
        "made-anew": ('lab.topic("wishes", partitions=6, retention_ms=604_800_000)', "is deleted with its records"),
        "made-anew-without": ('lab.topic("wishes", partitions=6)', "6 partitions, retention.ms 604800000, 0 records"),
        "sent-again": (
            """
            from kafka import KafkaProducer
            from helpers import observe
            wishes = observe.records(lab, topic)
            lab.topic("wishes", partitions=6, retention_ms=604_800_000)
            with KafkaProducer(**lab.client) as producer:
                for wish in wishes.itertuples():
                    producer.send(topic, wish.value.encode(), wish.key.encode())
            """,
            "change the topic that is there",
        ),
        "partitions-only": (PARTITIONS % 6, "lab.admin.alter_configs"),
        "days-only": (KEEP, "lab.admin.create_partitions"),
        "six-more": (PARTITIONS % 9 + KEEP, "cannot be taken away"),
    },
)

# ---- replay-dlq ----------------------------------------------------------------------------------------------------

PARCELS = [f"o-{number:04}" for number in range(1, 7)]
BACK = PARCELS[1], PARCELS[4]  # what a colleague has replayed already


def make_dead(lab):
    original, dlq = lab.topic("parcels", partitions=6), lab.topic("parcels.dlq", partitions=6)
    dead = [
        {"key": order.encode(), "value": b"ship it", "headers": [("ce_id", f"order-{number}".encode())]}
        for number, order in enumerate(PARCELS)
    ]
    why = [("original-topic", b"parcels"), ("attempt", b"4"), ("error", b"the carrier answers 503")]
    send(lab, dlq, [row | {"headers": row["headers"] + why} for row in dead])
    send(lab, original, [row for row in dead if row["key"].decode() in BACK])


AFRESH = 'Begin afresh with practice.task("replay-dlq", lab)'  # what was sent wrong stays in the log


def check_replayed(lab):
    found, dead = records(lab, lab.name("parcels"), committed_only=True), records(lab, lab.name("parcels.dlq"))
    if len(dead) > len(PARCELS):  # to purge it is right, when its letters are dealt with
        raise Incorrect(
            f"the DLQ has {len(dead)} records",
            f"{len(PARCELS)} at most: a replay goes to the original topic",
            f"send to lab.name(...) of the header original-topic. {AFRESH}",
        )
    hidden = len(records(lab, lab.name("parcels"))) - len(found)
    if hidden and len(found) < len(PARCELS):
        advice = f"a transaction has to be committed: commit_transaction(). {AFRESH}"
        raise Incorrect(f"{hidden} records of a transaction that is open or aborted", "records for everybody", advice)
    if lost := sorted(set(PARCELS) - set(dead["key"]) - set(found["key"])):
        advice = f"a DLQ is purged when its letters are back, and not before. {AFRESH}"
        raise Incorrect(f"in neither topic: {listed(lost)}", "each record once", advice)
    if len(found) == len(BACK):
        advice = (
            "if you have sent some: to lab.name(...) of original-topic, and flush() or .get(timeout=10) waits until "
            "they have arrived; values of headers are bytes"
        )
        raise NotAttempted(f"the original topic has the {len(BACK)} records that were back already", advice)
    ids = [dict(headers).get("ce_id") for headers in found["headers"]]
    ids = [one.decode() if isinstance(one, bytes) else one for one in ids]
    if None in ids:
        advice = f"without its ce_id no inbox refuses a second replay. {AFRESH}"
        raise Incorrect("a record without ce_id", "the id it had", advice)
    if wrong := lost_or_twice([f"order-{number}" for number in range(len(PARCELS))], ids):
        advice = f"all partitions of the DLQ, but not what the original topic has already. {AFRESH}"
        if "not asked for" in wrong:
            advice = f"the ce_id stays as it was: a new one is a new event, and no inbox refuses it. {AFRESH}"
        elif "more than once" not in wrong:
            advice = "go on: all partitions of the DLQ"
        raise Incorrect(wrong, "each record once", advice)
    if found["key"].isna().any():
        raise Incorrect("a record without key", "the key it had", f"without its key it goes to any partition. {AFRESH}")
    contents = {(str(dict(row.headers)["ce_id"]), row.key, row.value) for row in found.itertuples()}
    if other := sorted(contents - {(f"order-{number}", order, "ship it") for number, order in enumerate(PARCELS)}):
        seen = "{} with key {!r} and value {!r}".format(*other[0])
        raise Incorrect(seen, "key and value as in the DLQ", f"send record.value and record.key as they are. {AFRESH}")
    names = Counter(name for headers in found["headers"] for name in dict(headers))
    if more := sorted(set(names) & {"attempt", "error"}):
        advice = f"keep only the ce_ headers. {AFRESH}"
        raise Incorrect(f"still there: {listed(more)}", "a first attempt", advice)
    if any(partition_of(row.key, 6) != row.partition for row in found.itertuples()):
        advice = f"leave the partition to the key; confluent-kafka's default hash is not Kafka's. {AFRESH}"
        raise Incorrect("a record in another partition", "where its key belongs", advice)
    return f"{len(found)} records are back, each once, in the partition of its key, as a first attempt"


REPLAY = """
    from kafka import KafkaProducer
    from helpers.shop import topics

    back = {{dict(record.headers)["ce_id"] for record in topics.read(lab, "parcels")}}
    dead = [record for record in topics.read(lab, topic) if {which}]
    with KafkaProducer(**lab.client) as producer:
        for record in dead:
            target = lab.name(dict(record.headers)["original-topic"].decode())
            kept = [(name, value) for name, value in record.headers if {keep}]
            producer.send({target}, {what}, headers=kept).get(timeout=10)
"""
NOT_BACK = 'dict(record.headers)["ce_id"] not in back'


def replaying(keep='name.startswith("ce_")', what="record.value, record.key", which=NOT_BACK, target="target"):
    """The source of a replay."""
    return REPLAY.format(keep=keep, what=what, which=which, target=target)


IN_TRANSACTION = """
    from kafka import KafkaProducer

    with KafkaProducer(transactional_id=topic, **lab.client) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(lab.name("parcels"), b"ship it", b"o-0001", headers=[("ce_id", b"order-0")]).get(timeout=10)
        producer.abort_transaction()
"""

PURGE = """
    from kafka import TopicPartition

    lab.admin.delete_records({TopicPartition(topic, number): -1 for number in range(6)})
"""

REPLAY_DLQ = Exercise(
    id="replay-dlq",
    chapter="design",
    topic="parcels.dlq",
    text="""
        **Replay the dead letters.** `topic` is a DLQ with six records; the carrier works again. A colleague has begun
        to send them back to where they came from, and was called away. Go on where she stopped, so that each of the
        six is there once: with its key, its value and its `ce_id`, and as a first attempt, without the headers
        `attempt` and `error`. Send to `lab.name(...)` of what the header `original-topic` says: without the chapter's
        prefix there is no such topic, and a producer looks a minute for it.
    """,
    prepare=make_dead,
    check=check_replayed,
    hints=[
        "topics.read(lab, topic) yields the records of a topic; record.headers is a list of (name, bytes).",
        'Which are back? A set of the ce_id of all records in topics.read(lab, "parcels").',
        'The key decides the partition. kept = [(name, value) for name, value in record.headers if name == "ce_id"]',
    ],
    reference=replaying(),
    wrong={
        "without-key": (replaying(what="record.value"), "without its key"),
        "without-id": (replaying(keep="False"), "without its ce_id"),
        "all-headers": (replaying(keep="True"), "keep only the ce_ headers"),
        "everything": (replaying(which="True"), "more than once: order-1, order-4"),
        "the-first": (replaying(which='record.key == b"o-0001"'), "missing: order-"),
        "one-partition": (replaying(what="record.value, record.key, partition=0"), "leave the partition to the key"),
        "another-value": (replaying(what='b"WRONG", record.key'), "order-0 with key 'o-0001' and value 'WRONG'"),
        "one-key": (replaying(what='record.value, b"k"'), "order-0 with key 'k' and value 'ship it'"),
        "new-id": (replaying().replace("headers=kept", 'headers=[("ce_id", b"new")]'), "no inbox refuses it"),
        "aborted": (IN_TRANSACTION, "a transaction has to be committed"),
        "to-the-dlq": (replaying(target="topic"), "the DLQ has 10 records"),
        "purged-first": (PURGE, "in neither topic: o-0001"),
    },
)

# ---- stuck-groups --------------------------------------------------------------------------------------------------

LOOKS = [
    (["balance 10 5", "balance 10 6", "balance 10 8"], ["balance"], "it reads nothing, and its lag grows"),
    (["stock 10 5", "stock 10 5", "stock 10 5"], ["stock"], "it reads nothing, and its lag stays"),
    (["coupon 10 0", "coupon 10 0", "coupon 10 0"], [], "nothing to do is not stuck: its lag is 0"),
    (["payment 10 5", "payment 50 9", "payment 90 50"], [], "it is slow, and not stuck: its offset moves"),
    (["shipping 10 5", "shipping 10 5", "shipping 14 1"], [], "it stood still once, and went on: look at all looks"),
    (["shipping 7 5", "shipping 10 5", "shipping 10 5"], [], "its offset moved before the second look"),
    (["balance 10 0", "balance 10 5", "balance 10 5"], [], "at the first look it had nothing to read"),
    (["", "new 0 5", "new 0 5"], [], "it is not in the first look: a new group has to be looked at as often as others"),
    (["balance 10 5", "", "balance 10 5"], [], "it is missing in the second look: who is away cannot be judged"),
    (["refund 10 5", "refund 12 3", "refund 10 5"], [], "its offset moved, and was moved back: it was not stuck"),
    (["cart 10 5", "cart 10 5", "cart 10 5", "cart 12 3"], [], "there are four looks, and the last counts too"),
    (["cart 8 5", "cart 10 5", "cart 10 5", "cart 10 5"], [], "there are four looks, and the first counts too"),
    (["first 0 5", "first 0 6", "first 0 6"], ["first"], "0 is an offset too: it reads nothing"),
    (["log 10 5", "log 10 0", "log 10 5"], [], "at the second look it had nothing to read"),
    (["b 1 1, a 2 2", "b 1 1, a 2 2", "b 1 1, a 2 2"], ["a", "b"], "both read nothing"),
]


def as_look(text):
    """ "balance 10 5" as {"balance": (10, 5)}."""
    groups = [part.split() for part in text.split(",") if part]
    return {group: (int(committed), int(lag)) for group, committed, lag in groups}


def check_stuck(lab, stuck_in_all):
    for texts, right, why in LOOKS:
        looks = [as_look(text) for text in texts]
        found = call(stuck_in_all, looks)
        check_sorted_list(found, right, f"stuck_in_all({looks})", why)
    return f"right for {len(LOOKS)} series of looks"


def stuck_if(condition, groups="sorted(looks[0])"):
    """The source of an alarm."""
    return f"""
        def stuck_in_all(looks):
            seen = {{group: [look.get(group, (-1, 0)) for look in looks] for group in {groups}}}
            return [group for group, places in seen.items() if {condition}]
    """


LAG = "all(lag > 0 for _, lag in places)"
STILL = "len({offset for offset, _ in places}) == 1"

STUCK = Exercise(
    id="stuck-groups",
    chapter="design",
    text="""
        **The alarm that does not cry wolf.** Two looks may fall into one long transaction. So somebody looked three
        times or more: `looks` is a list of `{group: (committed, lag)}`, the oldest first. Write `stuck_in_all(looks)`:
        the sorted list of the groups that had something to read at **every** look, and whose committed offset is the
        same at every look. A group that is missing in a look is new, and no alarm.
    """,
    answers=["stuck_in_all"],
    start="""
        def stuck_in_all(looks):
            # your code
            ...
    """,
    check=check_stuck,
    hints=[
        "Lag alone is no alarm: a group that is behind may be reading as fast as it can.",
        "Go through the groups of the first look. Who is not in all others, is out.",
        "all(look[group][1] > 0 for look in looks), and the set of all look[group][0] has one member.",
    ],
    reference=stuck_if(f"{LAG} and {STILL}"),
    wrong={
        "any-lag": (stuck_if(LAG), "it is slow, and not stuck"),
        "no-move": (stuck_if(STILL), "nothing to do is not stuck"),
        "growing-only": (stuck_if("places[0][1] < places[-1][1] and " + STILL), "its lag stays"),
        "first-two": (stuck_if(f"{LAG} and places[0][0] == places[1][0]"), "it stood still once, and went on"),
        "first-and-last": (stuck_if(f"{LAG} and places[0][0] == places[-1][0]"), "and was moved back"),
        "last-two": (stuck_if(f"{LAG} and places[-2][0] == places[-1][0]"), "moved before the second look"),
        "three-looks": (
            stuck_if(f"{LAG} and {STILL}").replace("looks):\n", "looks):\n            looks = looks[:3]\n"),
            "the last counts too",
        ),
        "lag-at-the-end": (stuck_if("places[-1][1] > 0 and " + STILL), "at the first look it had nothing to read"),
        "newcomers-too": (
            """
            def stuck_in_all(looks):
                def still(group, committed):
                    mine = [look[group] for look in looks if group in look]
                    return all(lag > 0 and offset == committed for offset, lag in mine)
                return sorted(group for group, (committed, _) in looks[-1].items() if still(group, committed))
            """,
            "it is not in the first look",
        ),
        "gaps-left-out": (
            """
            def stuck_in_all(looks):
                seen = {group: [look[group] for look in looks if group in look] for group in looks[0]}
                return sorted(group for group, all_ in seen.items() if all_[0][0] == all_[-1][0] and min(all_)[1] > 0)
            """,
            "cannot be judged",
        ),
        "zero-is-nothing": (stuck_if(f"{LAG} and {STILL} and places[0][0]"), "0 is an offset too"),
        "lag-at-both-ends": (stuck_if(f"places[0][1] > 0 < places[-1][1] and {STILL}"), "at the second look"),
        "unsorted": (stuck_if(f"{LAG} and {STILL}", groups="looks[0]"), "is ['b', 'a']"),
        "a-series": (
            """
            import pandas as pd
            def stuck_in_all(looks):
                return pd.Series(list(looks[0]))
            """,
            "the names are right: a sorted list",
        ),
        "prints": ("def stuck_in_all(looks):\n    print(sorted(looks[0]))", "is there a return?"),
        "a-set": ("def stuck_in_all(looks):\n    return set(looks[0])", "is {'balance'}"),
    },
)

EXERCISES = [ENOUGH, MEND_DRIFT, REPLAY_DLQ, STUCK]
