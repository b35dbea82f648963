"""Exercises on consumer groups."""

import json
import math
import time
from collections import Counter

from ... import observe
from ...lab import LabError
from ..broker_state import (
    START,
    alone,
    check_team,
    check_watched,
    commit,
    committed,
    ends,
    eventually,
    listed,
    members,
    other_topics,
    records,
    send,
    without_prefix,
)
from ..exercise import Exercise, Incorrect, NotAttempted, own_loop

STEADY, SETTLING = 1, 15  # seconds: a rebalance waits for heartbeats, every three seconds by default
EMPTY = 3  # seconds in which a group without members may still get some, if they have just been started
FAST = '"heartbeat_interval_ms": 100, "session_timeout_ms": 1500, "auto_offset_reset": "earliest"'
CALM = FAST.replace("1500", "6000")


def fresh(lab, topic, group, rows, partitions, **configs):
    """Makes an exercise's topic with its records, and its group; returns the topic's name."""
    lab.group(group)
    name = lab.topic(topic, partitions=partitions, **configs)
    send(lab, name, rows)
    return name


def owners(lab, name):
    """[(client_id, number of partitions)] of a settled group's members; NotAttempted for one without members."""
    group = lab.name(name)
    if not settled_members(lab, group):
        if settled_members(lab, name, 0):
            raise Incorrect(f"the members are in the group {name}", f"they are in {group}", "group_id=me.group")
        advice = (
            f'actors.start(..., group="{name}", ...) and group_id=me.group; who has crashed is named where you waited'
        )
        raise NotAttempted(f"the group {group} has no members", advice)
    return [(name, len(places)) for name, places, _ in members(lab, group)[1]]


def settled_members(lab, group, empty=EMPTY):
    """How many members a group has, when it has not changed for STEADY seconds; or after SETTLING.

    empty: for how many seconds it must have been without members.
    """
    since, before, until = time.monotonic(), None, time.monotonic() + SETTLING
    while True:
        state, found = members(lab, group)
        now = state, len(found)
        if now != before or now[0] not in ("Stable", "Empty", "Dead"):
            since, before = time.monotonic(), now
        if time.monotonic() - since >= (STEADY if found else empty) or time.monotonic() > until:
            return now[1]
        time.sleep(0.1)


def lag(lab, topic, group):
    """{partition: lag}; what nobody has committed counts from 0."""
    now = committed(lab, topic, group)
    return {number: end - now.get(number, 0) for number, end in ends(lab, topic).items()}


def look_for_crashes(told, maybe):
    """Incorrect when a member has crashed; maybe is a likely cause."""
    if crashed := sorted(set(told[told["event"] == "crashed"]["member"])):
        raise Incorrect(f"crashed: {listed(crashed)}", "members that live", f"team.output(name) says why; {maybe}")


# ---- one-idle ------------------------------------------------------------------------------------------------------


def check_one_idle(lab):
    topic = lab.name("tickets")
    records(lab, topic)
    found = owners(lab, "desk")
    idle = [member for member, number in found if not number]
    seen = f"{len(found)} members, idle: {listed(idle) or 'nobody'}"
    if wrong := other_topics(lab, lab.name("desk"), topic):
        raise Incorrect(
            f"the group reads {listed(wrong)}", f"it reads {topic}", "subscribe to `topic`, and to no other"
        )
    if len(idle) != 1:
        advice = "one member more than partitions" if not idle else "fewer members: stop() one that idles"
        raise Incorrect(seen, "exactly one idle member", advice)
    return f"{seen}; the partitions are with {listed(member for member, number in found if number)}"


ONE_IDLE = Exercise(
    id="one-idle",
    chapter="groups",
    topic="tickets",
    text="""
        **Exactly one idle.** `topic` has three partitions. Start a group `desk` on it in which exactly one member owns
        nothing. Use `actors.start`, wait until the group has settled, and let the members run.
    """,
    prepare=alone(lambda lab: fresh(lab, "tickets", "desk", [], 3)),
    check=check_one_idle,
    hints=[
        "A partition has one owner. How many owners do three partitions have at most?",
        "team.wait(assigned=3, joined=4, deadline=20): the group has settled. Heartbeats every 100 ms make it quick.",
        'actors.start(lab, desk, group="desk", members=[...]) with four names.',
    ],
    reference=f"""
        from helpers import actors
        from kafka import KafkaConsumer


        def desk(me):
            settings = {{{FAST}, **me.client}}
            consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **settings)
            for _ in me.records(consumer):
                pass


        team = actors.start(lab, desk, group="desk", members=["anna", "ben", "cho", "dan"])
        team.wait(assigned=3, joined=4, deadline=20)
    """,
    wrong={},
)


def desk(members, topic="topic", joined=None):
    """Source code that starts the group desk."""
    return f"""
        from helpers import actors
        from kafka import KafkaConsumer

        def desk(me):
            settings = {{{FAST}, **me.client}}
            consumer = KafkaConsumer({topic}, group_id=me.group, client_id=me.name, **settings)
            for _ in me.records(consumer):
                pass

        other = lab.topic("other")
        team = actors.start(lab, desk, group="desk", members={members!r})
        team.wait(joined={len(members)}, deadline=20)
    """


ONE_IDLE.wrong.update(
    {
        "as-many-as-partitions": (desk(["anna", "ben", "cho"]), "one member more than partitions"),
        "two-idle": (desk(["anna", "ben", "cho", "dan", "eve"]), "fewer members"),
        "another-topic": (desk(["anna", "ben"], "other"), "subscribe to `topic`"),
    }
)

# ---- back-in-time --------------------------------------------------------------------------------------------------

NEW_YEAR, MINUTE = 1767225600000, 60_000
SINCE = 6


def make_gauges(lab):
    rows = [
        {"partition": p, "value": b"%d" % n, "timestamp_ms": NEW_YEAR + n * MINUTE // (p + 1)}
        for p in range(2)
        for n in range(10 * (p + 1))  # one a minute in partition 0, two in partition 1
    ]
    topic = fresh(lab, "gauges", "auditors", rows, 2, retention_ms=-1)
    commit(lab, topic, lab.name("auditors"), ends(lab, topic))


def check_back_in_time(lab):
    topic = lab.name("gauges")
    records(lab, topic)
    now, end = committed(lab, topic, lab.name("auditors")), ends(lab, topic)
    right = {number: SINCE * (number + 1) for number in end}
    if now != right and members(lab, lab.name("auditors"))[1]:
        advice = "close() it: reset_group_offsets moves an empty group, and returns an error for another"
        raise Incorrect("the group has a member", "a group without members", advice)
    if now == end:
        plain = (
            "if you have tried: a plain number is an offset, for a time use OffsetTimestamp; what is too large, or too "
            "late, is the end. A seek() moves a consumer, and not the group; and the group is lab.name(...), exactly"
        )
        why = without_prefix(lab, topic, "auditors") or plain
        raise NotAttempted(f"the group {lab.name('auditors')} is at the end of both partitions", why)
    if now == right:
        return f"the group goes on at minute {SINCE} in both partitions: offsets {listed(right.values())}"
    advice = (
        "OffsetTimestamp(milliseconds) for both partitions: lab.admin.reset_group_offsets(group, {place: ...}). "
        "A minute is 60_000 milliseconds"
    )
    if gone := sorted(set(end) - set(now)):
        advice = (
            f"nothing is committed in partition {listed(gone)}: lab.group(...) makes Kafka forget what a group has "
            'committed, lab.name("auditors") is its name alone. Begin afresh with practice.task("back-in-time", lab)'
        )
    elif now.get(1) == end[1] or now.get(0) == end[0]:
        advice = "a partition stands at its end: reset both, by a time. An offset that is too large is the end, too"
    elif now.get(0) == right[0]:
        advice = "partition 1 has two readings a minute: a time, and not an offset, is the same in both"
    elif set(now.values()) == {0}:
        advice = "that is the beginning: time counts from 1970, in milliseconds; one in seconds lies long before"
    elif now.get(1) == 2 * now.get(0, 0):
        advice = f"that is minute {now[0]}: minute {SINCE} is {SINCE} * 60_000 milliseconds after minute 0"
    raise Incorrect(f"committed: {now}", f"in each partition the first reading of minute {SINCE} or later", advice)


BACK_IN_TIME = Exercise(
    id="back-in-time",
    chapter="groups",
    topic="gauges",
    text=f"""
        **Back in time.** `topic` holds readings since `{NEW_YEAR:_}` milliseconds, the beginning of minute 0. Partition
        0 has one a minute, partition 1 has two. The group `lab.name("auditors")` has no members, and has read all.
        Move it so that it goes on, in both partitions, at minute {SINCE}.
    """,
    prepare=alone(make_gauges),
    check=check_back_in_time,
    hints=[
        "lab.admin.reset_group_offsets(group, {TopicPartition(topic, 0): where, ...}) moves an empty group.",
        "where may be OffsetTimestamp(milliseconds), from kafka.admin.",
        f"Minute {SINCE} begins at {NEW_YEAR:_} + {SINCE} * 60_000. Give it for both partitions.",
    ],
    reference=f"""
        from kafka import TopicPartition
        from kafka.admin import OffsetTimestamp

        minute = OffsetTimestamp({NEW_YEAR:_} + {SINCE} * 60_000)
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        lab.admin.reset_group_offsets(lab.name("auditors"), dict.fromkeys(places, minute))
    """,
    wrong={
        "one-partition": (
            f"""
            from kafka import TopicPartition
            from kafka.admin import OffsetTimestamp
            minute = OffsetTimestamp({NEW_YEAR:_} + {SINCE} * 60_000)
            lab.admin.reset_group_offsets(lab.name("auditors"), {{TopicPartition(topic, 0): minute}})
            """,
            "reset both",
        ),
        "with-a-member": (
            f"""
            from kafka import KafkaConsumer, TopicPartition
            from kafka.admin import OffsetTimestamp
            consumer = KafkaConsumer(topic, group_id=lab.name("auditors"), **lab.client)
            while not consumer.assignment():
                consumer.poll(timeout_ms=500)
            minute = OffsetTimestamp({NEW_YEAR:_} + {SINCE} * 60_000)
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("auditors"), dict.fromkeys(places, minute))
            """,
            "the group has a member",
        ),
        "forgotten": (
            f"""
            from kafka import TopicPartition
            from kafka.admin import OffsetTimestamp
            minute = OffsetTimestamp({NEW_YEAR:_} + {SINCE} * 60_000)
            lab.admin.reset_group_offsets(lab.group("auditors"), {{TopicPartition(topic, 0): minute}})
            """,
            "lab.group(...) makes Kafka forget",
        ),
        "an-offset": (
            f"""
            from kafka import TopicPartition
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("auditors"), dict.fromkeys(places, {SINCE}))
            """,
            "two readings a minute",
        ),
        "seconds": (
            f"""
            from kafka import TopicPartition
            from kafka.admin import OffsetTimestamp
            minute = OffsetTimestamp({NEW_YEAR:_} // 1000 + {SINCE} * 60)
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("auditors"), dict.fromkeys(places, minute))
            """,
            "one in seconds lies",
        ),
        "a-minute-late": (
            f"""
            from kafka import TopicPartition
            from kafka.admin import OffsetTimestamp
            minute = OffsetTimestamp({NEW_YEAR:_} + {SINCE + 1} * 60_000)
            places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
            lab.admin.reset_group_offsets(lab.name("auditors"), dict.fromkeys(places, minute))
            """,
            "that is minute 7",
        ),
    },
)

# ---- take-over -----------------------------------------------------------------------------------------------------

SOON = 5  # seconds


def check_take_over(lab, team):
    topic = lab.name("doors")
    records(lab, topic)
    check_team(lab, team, "guards")
    told = team.timeline()
    look_for_crashes(told, "heartbeat_interval_ms (3000) must be less than session_timeout_ms")
    killed = told[told["event"] == "killed"]
    if killed.empty:
        if settled_members(lab, lab.name("guards")):
            check_watched(team)
        left = told[told["event"] == "left"]["member"]
        said = f"{listed(left)} left, and said goodbye" if len(left) else "nobody was killed"
        raise Incorrect(said, "one member killed, who can say nothing", "team.kill(name)")
    dead, moment = killed["member"].iloc[0], killed["t"].iloc[0]
    had = told[(told["member"] == dead) & (told["event"] == "assigned") & (told["t"] < moment)]
    if not any(had["partitions"].str.len()):
        if settled_members(lab, lab.name("guards")):
            check_watched(team)
        raise Incorrect(
            f"{dead} was killed, and owned nothing",
            "a member that owned partitions",
            "wait before you kill; and subscribe to `topic`, which holds the full name",
        )
    others = told[(told["member"] != dead) & (told["event"] == "assigned") & (told["t"] < moment)]
    if not any(others["partitions"].str.len()):
        advice = "wait until both own something before you kill: team.wait(assigned=4, joined=2, deadline=20)"
        raise Incorrect(f"when {dead} was killed, nobody else owned a partition", "two who share the four", advice)
    if not team.running():
        raise Incorrect(f"killed: {listed(killed['member'])}; nobody runs", "one who lives", "kill one of the two")
    if dead in team.running():
        raise Incorrect(f"{dead} was started again", "one who lives, and takes over", "kill one, and then only wait")
    left = team.began + moment + SOON - time.monotonic()
    eventually(lambda: len(members(lab, lab.name("guards"))[1]) <= 1, seconds=left)
    found = owners(lab, "guards")
    if len(found) != 1:
        raise Incorrect(
            f"the group has {len(found)} members: {listed(member for member, _ in found)}",
            "one, who owns all four partitions",
            "the coordinator waits session_timeout_ms for the dead, 45 seconds by default",
        )
    [(heir, number)] = found
    if number != 4 or heir == dead:
        raise Incorrect(f"{heir} owns {number} partitions", "the one who lives owns all four", "one group, one `topic`")
    taken = eventually(lambda: all_assigned(team, moment))
    if max(taken, default=math.inf) - moment >= SOON:
        advice = "a lower session_timeout_ms (1000 is the least here), and a heartbeat_interval_ms lower still: 100"
        took = f"it took {max(taken) - moment:.0f} s" if taken else f"{heir} has not been given them"
        raise Incorrect(took, f"less than {SOON} s", advice)
    return f"{dead} was killed, and {heir} owns all four partitions within {SOON} s"


def all_assigned(team, moment):
    """When who runs was given partitions after that moment, in seconds since the start; it may be logged a bit late."""
    told = team.timeline()
    return list(told[told["member"].isin(team.running()) & (told["event"] == "assigned") & (told["t"] > moment)]["t"])


TAKE_OVER = Exercise(
    id="take-over",
    chapter="groups",
    topic="doors",
    text=f"""
        **Take over.** `topic` has four partitions. Start a group `guards` with the members `anna` and `ben`, wait until
        both own something, and kill one of them with signal 9. Within {SOON} seconds the other must own all four. Put
        what `actors.start` returned into `team`.
    """,
    prepare=alone(lambda lab: fresh(lab, "doors", "guards", [], 4)),
    answers=["team"],
    start="team = ...  # your code",
    check=check_take_over,
    hints=[
        "A killed member says nothing: the coordinator waits session_timeout_ms for its heartbeat.",
        "session_timeout_ms=1500, with heartbeat_interval_ms=100, in the settings of the consumer.",
        'team.kill("ben"), and then team.wait(assigned=4, deadline=20) waits until the other owns all.',
    ],
    reference=f"""
        from helpers import actors
        from kafka import KafkaConsumer


        def guard(me):
            settings = {{{FAST}, **me.client}}
            consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **settings)
            for _ in me.records(consumer):
                pass


        team = actors.start(lab, guard, group="guards", members=["anna", "ben"])
        team.wait(assigned=4, member=None, joined=2, deadline=20)
        team.kill("ben")
        team.wait(assigned=4, deadline=20)
    """,
    wrong={},
)


BOTH_WAIT = "team.wait(assigned=4, joined=2, deadline=20)"
BOTH_ASKED = """from helpers.lab import wait_until

        def both():
            now = lab.admin.describe_groups([team.group])[team.group]
            return now["group_state"] == "Stable" and len(now["members"]) == 2

        wait_until(both, "both members")
"""


def guards(then, settings=FAST, members=("anna", "ben"), begun="assigned=4, joined=2"):
    """Source code that starts the group guards, and does something then."""
    return f"""
        from helpers import actors
        from kafka import KafkaConsumer

        def guard(me):
            settings = {{{settings}, **me.client}}
            consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **settings)
            for _ in me.records(consumer):
                pass

        team = actors.start(lab, guard, group="guards", members={list(members)!r})
        team.wait({begun}, deadline=20)
        {then}
    """


TAKE_OVER.wrong.update(
    {
        "a-long-session": (
            guards('team.kill("ben")', '"heartbeat_interval_ms": 100'),
            "the group has 2 members: anna, ben",
        ),
        "a-goodbye": (guards('team.stop("ben"); team.wait(assigned=4, deadline=20)'), "ben left, and said goodbye"),
        "nobody-dies": (guards("pass"), "nobody was killed"),
        "back-again": (guards('team.kill("ben"); team.add("ben")'), "ben was started again"),
        "another-group": (
            guards("pass").replace('group="guards"', 'group="guard"'),
            "the group of team is groups-guard",
        ),
        "both-die": (guards("team.kill()"), "kill one of the two"),
        "too-early": (
            guards('team.kill("anna"); team.add("ben")', members=["anna"], begun="assigned=4"),
            "nobody else owned a partition",
        ),
        "few-heartbeats": (
            guards("pass", '"session_timeout_ms": 1000', begun="crashed=2"),
            "heartbeat_interval_ms (3000) must be less",
        ),
        "slow": (
            guards(
                'team.kill("ben"); team.wait(assigned=4, deadline=20)',
                '"heartbeat_interval_ms": 100, "session_timeout_ms": 8000',
            ),
            f"less than {SOON} s",
        ),
        "no-team": ('team = "anna"', "what actors.start returned"),
        "own-loop": (
            own_loop(guards('team.kill("ben")')).replace(BOTH_WAIT, BOTH_ASKED),
            "me.follow(consumer)",
        ),
    }
)

# ---- both-topics ---------------------------------------------------------------------------------------------------


def make_both(lab):
    rows = [{"partition": n % 2, "value": b"%d" % n} for n in range(20)]
    letters = lab.topic("letters", partitions=2)
    send(lab, letters, rows)
    fresh(lab, "bills", "office", rows, 2)


def check_both_topics(lab, team):
    topics = [lab.name("bills"), lab.name("letters")]
    for topic in topics:
        if records(lab, topic).empty:
            advice = "lab.name gives the name; lab.topic makes the topic anew. Run the cell with practice.task again"
            raise Incorrect(f"{topic} is empty", "twenty records", advice)
    check_team(lab, team, "office")
    look_for_crashes(
        team.timeline(), "KafkaConsumer takes several topics side by side: KafkaConsumer(topic, letters, ...)"
    )
    found = owners(lab, "office")
    if len(found) != 4:
        raise Incorrect(f"the group has {len(found)} members", "four", 'members=["anna", "ben", "cho", "dan"]')
    check_watched(team)
    unread = set(topics) - set(observe.members(lab, lab.name("office"))["topic"])
    if unread:
        raise Incorrect(f"nobody reads {listed(unread)}", "both topics", "KafkaConsumer takes several topics")
    if idle := [member for member, number in found if not number]:
        advice = "range deals out each topic for itself; roundrobin takes all partitions together"
        raise Incorrect(f"idle: {listed(idle)}", "four members, each with one partition", advice)
    places = eventually(lambda: handled_places(team), lambda found: len(set(found)) == 40)
    if len(set(places)) != 40:
        advice = 'auto_offset_reset="earliest", since the group has committed nothing; and wait(handled=40)'
        raise Incorrect(f"{len(set(places))} of the 40 records were handled", "all of them", advice)
    behind = eventually(lambda: [sum(lag(lab, topic, lab.name("office")).values()) for topic in topics], no_lag)
    if not no_lag(behind):
        raise Incorrect(f"a lag of {listed(behind)}", "a lag of 0 in both", "what is handled must be committed too")
    again = sum(number - 1 for number in Counter(places).values())
    return f"four members with one partition each, 40 records handled, {again} of them again, a lag of 0"


def handled_places(team):
    told = team.timeline()
    mine = told[told["event"] == "handled"][["topic", "partitions", "offset"]]
    return [f"{topic} {partition}-{offset}" for topic, [partition], offset in mine.itertuples(index=False)]


def no_lag(behind):
    return not any(behind)


def office(subscribed="topic, letters", assignor="RoundRobinPartitionAssignor", more="", wait="handled=40"):
    """Source code that starts the group office."""
    return f"""
        from helpers import actors
        from kafka import KafkaConsumer
        from kafka.coordinator.assignors.range import RangePartitionAssignor
        from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

        letters = lab.name("letters")

        def office(me):
            settings = {{{FAST}, "auto_commit_interval_ms": 200, {more} **me.client}}
            settings["partition_assignment_strategy"] = [{assignor}]
            consumer = KafkaConsumer({subscribed}, group_id=me.group, client_id=me.name, **settings)
            for _ in me.records(consumer):
                pass

        team = actors.start(lab, office, group="office", members=["anna", "ben", "cho", "dan"])
        team.wait(joined=4, {wait}, deadline=20)
    """


BOTH_TOPICS = Exercise(
    id="both-topics",
    chapter="groups",
    topic="bills",
    text="""
        **Two topics, nobody idle.** `topic` and `lab.name("letters")` have two partitions and twenty records each.
        Start a group `office` with four members that all read both topics. Each member must own one partition, all
        forty records must be handled, and the lag must come to 0. Put what `actors.start` returned into `team`. (Take
        both names outside the function: inside a member there is no `lab`.)
    """,
    prepare=alone(make_both),
    answers=["team"],
    start="team = ...  # your code",
    check=check_both_topics,
    hints=[
        'KafkaConsumer(topic, lab.name("letters"), ...) subscribes to both; inside the function there is no lab.',
        "Which assignor deals out the partitions of all topics together?",
        "partition_assignment_strategy=[RoundRobinPartitionAssignor], and a low auto_commit_interval_ms.",
    ],
    reference=office(),
    wrong={
        "range": (office(assignor="RangePartitionAssignor"), "idle: cho, dan"),
        "one-topic": (office(subscribed="topic", wait="handled=20"), "nobody reads groups-letters"),
        "latest": (office(more='"auto_offset_reset": "latest",', wait="assigned=4"), "0 of the 40 records"),
        "never-commits": (office(more='"enable_auto_commit": False,'), "what is handled must be committed too"),
        "a-list": (office("[topic, letters]", wait="crashed=4").replace("joined=4, ", ""), "side by side"),
        "makes-the-topic-anew": (
            'letters = lab.topic("letters", partitions=2)\nteam = "none yet"',
            "groups-letters is empty",
        ),
    },
)

# ---- keep-order ----------------------------------------------------------------------------------------------------

POISON = b"%&!?"
CHARGES = {
    0: ["vic-0", "uma-1", "vic-1"],
    1: ["wes-0", "yan-poison", "wes-1", "yan-1", "wes-2", "zia-0", "yan-2"],
}
ALREADY_ASIDE = "uma-poison"
SETTLED = {"uma": [], "vic": ["0", "1"], "wes": ["0", "1", "2"], "yan": [], "zia": ["0"]}
ASIDE = {"uma": ["poison", "1"], "vic": [], "wes": [], "yan": ["poison", "1", "2"], "zia": []}


def make_charges(lab):
    lab.topic("settled")
    aside = charge(0, ALREADY_ASIDE)
    send(lab, lab.topic("aside"), [{"key": aside["key"], "value": aside["value"]}])
    rows = [charge(partition, name) for partition, names in CHARGES.items() for name in names]
    fresh(lab, "charges", "cashiers", rows, 2)


def charge(partition, name):
    """The record of a charge such as uma-3."""
    user, number = name.split("-")
    value = POISON if number == "poison" else json.dumps({"user": user, "number": number}).encode()
    return {"partition": partition, "key": user.encode(), "value": value}


def by_user(lab, name, but=()):
    """{user: the numbers of the user's records, in the topic's order}, but for some users."""
    found = {user: [] for user in SETTLED}
    rows = records(lab, lab.name(name))
    rows = rows[~rows["key"].isin(but)]
    if without := int(rows["key"].isna().sum()):
        advice = "producer.send(..., key=record.key, value=record.value)"
        raise Incorrect(f"{without} records without a key in {lab.name(name)}", "key and value as they came", advice)
    for row in rows.itertuples():
        try:
            number = json.loads(row.value)["number"]
        except (ValueError, TypeError, KeyError):
            number = "poison" if row.value == POISON.decode() else str(row.value)
        found.setdefault(row.key, []).append(number)
    return found


FROM_THE_END = 'a group that has committed nothing begins at the end: auto_offset_reset="earliest"'


def check_keep_order(lab, team):
    topic, group = lab.name("charges"), lab.name("cashiers")
    there = records(lab, topic)
    check_team(lab, team, "cashiers")
    behind = still_behind(lab, topic, group)
    of_checks = set(there["key"]) - set(SETTLED)
    settled, aside = by_user(lab, "settled", of_checks), by_user(lab, "aside", of_checks)
    nothing = sum(map(len, [*settled.values(), *aside.values()])) == 1
    if nothing:
        look_for_crashes(team.timeline(), "then actors.start once more")
    if nothing and not committed(lab, topic, group):
        advice = f"if you have just started it, team.wait(handled=10, deadline=20); {FROM_THE_END}"
        if not team.running():
            advice = f"nobody of this team runs any more: actors.start again; and {FROM_THE_END}"
        raise NotAttempted("settled is empty, and aside holds the one record of uma that was there", advice)
    if changed := sorted({*values(lab, "settled"), *values(lab, "aside")} - set(there["value"])):
        raise Incorrect(
            f"sent as {listed(changed)}", "each value as it came", "send record.value itself, not a new one"
        )
    advice = "who does not settle a record puts it aside, and waits for the broker's answer before the commit"
    if behind and not members(lab, group)[1]:
        advice = f"a lag of {behind}, and nobody is at work: if a member has crashed, team.output(name) says why"
    check_where_charges_are(settled, aside, FROM_THE_END if nothing else advice)
    if behind:
        raise Incorrect(f"a lag of {behind}", "a lag of 0", "commit what is settled, and what is aside")
    check_take_over_of_a_user(lab, team)
    done = f"{sum(map(len, SETTLED.values()))} settled, {sum(map(len, ASIDE.values()))} aside, every user in order"
    return f"{done}, after a take-over too (a kill was not tried)"


def check_where_charges_are(settled, aside, if_lost):
    """Raises Incorrect unless each charge is once where it belongs, in the order of its user. Both as by_user's."""
    expected = "each charge once, in settled or in aside, in the order of its user"
    everything = Counter((user, number) for found in (settled, aside) for user in found for number in found[user])
    named = {(user, number) for user in SETTLED for number in SETTLED[user] + ASIDE[user]}
    if foreign := sorted(f"{user}-{number}" for user, number in set(everything) - named):
        advice = "send record.key and record.value as they came"
        raise Incorrect(f"nobody asked for {listed(foreign)}", expected, advice)
    if lost := sorted(f"{user}-{number}" for user, number in named if (user, number) not in everything):
        raise Incorrect(f"neither settled nor aside: {listed(lost)}", expected, if_lost)
    if poison := [user for user in settled if "poison" in settled[user]]:
        raise Incorrect(
            f"settled, and no JSON: a record of {listed(poison)}", expected, "json.loads(record.value) first"
        )
    if twice := sorted(f"{user}-{number}" for (user, number), n in everything.items() if n > 1):
        advice = (
            'begin afresh: practice.task("keep-order", lab). A second actors.start forgets what was committed; and '
            "commit after each record"
        )
        raise Incorrect(f"more than once: {listed(twice)}", expected, advice)
    if late := [f"{user}-{n}" for user in ASIDE for n in ASIDE[user] if n in settled[user]]:
        advice = (
            "all that follow of this user go there too. A set in memory dies with its owner, and aside "
            "has to be read from its beginning, by a consumer without a group"
        )
        raise Incorrect(f"settled, while an earlier one of the user is aside: {listed(late)}", expected, advice)
    if early := [f"{user}-{n}" for user in SETTLED for n in SETTLED[user] if n in aside[user]]:
        advice = "only users with a poison record wait, from that record on"
        raise Incorrect(f"aside without need: {listed(early)}", expected, advice)
    if (settled, aside) != (SETTLED, ASIDE):
        raise Incorrect(f"settled {settled}, aside {aside}", expected, "send in the order in which you read")


BY_CHECK = "(the check starts dora, and then emil, as members of your team, and sends more charges)"


def check_take_over_of_a_user(lab, team):
    """Raises Incorrect unless a member to which a partition comes back knows whom the other has put aside meanwhile.

    One member settles a charge of a new user in each partition. Another one joins, puts the user of its partition
    aside, and is stopped; the user's next charge then comes to the first one.
    """
    end_members(team)
    users = [f"{name}{end}" for name, end in zip(("amy", "bob"), ends(lab, lab.name("charges")).values(), strict=True)]
    ghosts = set(owner_ids(lab).values())
    dora = add(lab, team, "dora", lambda now: len(now) == 2 and not ghosts & set(now.values()))[0]
    bring(
        lab, team, {n: f"{user}-0" for n, user in enumerate(users)}, "settled", "only users with a poison record wait"
    )
    shared = add(lab, team, "emil", lambda now: dora in now.values() and len(set(now.values())) == 2)
    [emils] = [partition for partition, owner in shared.items() if owner != dora]
    bring(lab, team, {emils: f"{users[emils]}-poison"}, "aside", "json.loads(record.value) first")
    end_members(team, "emil")
    advice = (
        "emil put the user aside and was stopped, and dora, who ran all the time, got emil's partition back: read "
        "aside again whenever partitions come, or for each record"
    )
    bring(lab, team, {emils: f"{users[emils]}-1"}, "aside", advice)
    end_members(team)


def owner_ids(lab):
    """{partition of charges: the member_id of its owner} of the group cashiers, as its coordinator has it."""
    topic, (_, found) = lab.name("charges"), members(lab, lab.name("cashiers"))
    return {place.partition: one for _, places, one in found for place in places if place.topic == topic}


def add(lab, team, name, shared):
    """Starts a member; returns the owners of the partitions, shared so. Raises Incorrect if they never are."""
    team.add(name)
    owners = await_of_check(team, lambda: owner_ids(lab), shared)
    if not shared(owners):
        advice = f"a member that was killed keeps its place until its session is over {BY_CHECK}"
        raise Incorrect(f"{name} gets no partition of charges", "one member has both, and two have one each", advice)
    return owners


def bring(lab, team, charges, where, advice):
    """Sends charges, {partition: name}, and raises Incorrect unless the team brings all of them there."""
    other, names = "settled" if where == "aside" else "aside", set(charges.values())

    def brought():
        return charges_in(lab, where) & names, charges_in(lab, other) & names

    send(lab, lab.name("charges"), [charge(partition, name) for partition, name in charges.items()])
    right, wrong = await_of_check(team, brought, lambda now: set.union(*now) == names)
    if wrong:
        raise Incorrect(f"{other}: {listed(sorted(wrong))}", f"in {where}", f"{advice} {BY_CHECK}")
    if lost := sorted(names - right):
        raise Incorrect(f"neither settled nor aside: {listed(lost)}", f"in {where}", f"the same as before {BY_CHECK}")


def charges_in(lab, name):
    """The charges in a topic, such as uma-3."""
    return {f"{user}-{number}" for user, numbers in by_user(lab, name).items() for number in numbers}


def await_of_check(team, look, settled):
    """What look() returns as soon as it is settled, or a member has ended, or after START. Incorrect for a crash."""
    there = team.running()
    found = eventually(look, lambda now: settled(now) or team.running() != there, seconds=START)
    if not settled(found):
        told = team.timeline()
        look_for_crashes(told[told["member"].isin(there)], BY_CHECK)
    return found


def end_members(team, *names):
    """Stops these members, or all; those that have ended are let be. Raises Incorrect when one does not end."""
    chosen = [name for name in names or team.running() if name in team.running()]
    try:
        if chosen:
            team.stop(*chosen)
    except LabError as error:
        raise Incorrect(error.what, "members that end when they are asked to", error.why) from None


def still_behind(lab, topic, group):
    """The lag of a group, in all partitions; of one that is at work, when it has come to 0 or PATIENCE is over."""
    at_work = members(lab, group)[1] or committed(lab, topic, group)
    return eventually(lambda: sum(lag(lab, topic, group).values()), lambda found: not (found and at_work))


def values(lab, name):
    """The values in a topic, as text."""
    return [str(value) for value in records(lab, lab.name(name))["value"]]


def cashier(poison, good, after="consumer.commit()", waiting="set()"):
    """Source code of a member: what it does with a record that is no JSON, with one that is, and afterwards.

    waiting: what it knows at its start, if it keeps in memory who waits.
    """
    in_memory = f"waiting = {waiting}" if "waiting" in poison + good else ""
    return f"""
        import json

        from helpers import actors
        from kafka import KafkaConsumer, KafkaProducer, TopicPartition

        settled, aside = lab.name("settled"), lab.name("aside")


        def users_aside(client):
            with KafkaConsumer(auto_offset_reset="earliest", **client) as reader:
                place, users = TopicPartition(aside, 0), set()
                reader.assign([place])
                end = reader.end_offsets([place])[place]
                while reader.position(place) < end:
                    for records in reader.poll(timeout_ms=500).values():
                        users.update(record.key for record in records)
                return users


        def cashier(me):
            settings = {{{CALM}, "enable_auto_commit": False, **me.client}}
            consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **settings)
            producer = KafkaProducer(**me.client)
            {in_memory}

            def put(where, record):
                producer.send(where, key=record.key, value=record.value).get(timeout=10)

            for record in me.records(consumer):
                try:
                    json.loads(record.value)
                    {good}
                except ValueError:
                    {poison}
                {after}


        team = actors.start(lab, cashier, group="cashiers", members=["anna"])
        team.wait(handled=10, deadline=20)
        team.stop()
    """


PARK = "put(aside, record)"
KEEP = "put(aside if record.key in users_aside(me.client) else settled, record)"
PARK_IN_MEMORY = "waiting.add(record.key); put(aside, record)"
KEEP_IN_MEMORY = "put(aside if record.key in waiting else settled, record)"
ASK_ONCE_FOR_EACH = f"""new = record.partition not in seen; seen.add(record.partition)
                    waiting |= users_aside(me.client) if new else set(); {KEEP_IN_MEMORY}"""

KEEP_ORDER = Exercise(
    id="keep-order",
    chapter="groups",
    topic="charges",
    text="""
        **Poison, and order.** `topic` has two partitions with ten charges in all. The key is the user, the value is
        JSON; one is not JSON. Start a group `cashiers` that brings every record, key and value as they are, into one of
        two topics: `lab.name("settled")`, or `lab.name("aside")` for what is no JSON. When a record of a user is aside,
        all later ones of **this user** must go there too; the others go on. One record is in aside already, and not in
        `topic`: a member of an earlier group put it there, and died. Each record once, and a lag of 0 at the end. A
        member to which a partition comes has to know who is aside at that moment, and not only who was at its start:
        the check starts two more members, and stops one of them. Put what `actors.start` returned into `team`.
    """,
    prepare=alone(make_charges),
    answers=["team"],
    start="team = ...  # your code",
    check=check_keep_order,
    hints=[
        "One owner has all records of a user: a set of users helps. But a set in memory dies with its owner, and one "
        "has died already. The keys in aside say who waits: read it to its end before you decide.",
        "try json.loads(record.value); on ValueError put the record aside.",
        "producer.send(...).get(timeout=10) before consumer.commit(): what is committed never comes again.",
    ],
    reference=cashier(PARK, KEEP),
    wrong={
        "skips": (cashier("pass", KEEP_IN_MEMORY), "neither settled nor aside: yan-poison"),
        "parks-the-record-only": (cashier(PARK, "put(settled, record)"), "go there too"),
        "parks-everybody": (
            cashier(PARK, "put(aside if users_aside(me.client) else settled, record)"),
            "aside without need",
        ),
        "settles-all": (cashier("put(settled, record)", KEEP_IN_MEMORY), "settled, and no JSON"),
        "never-commits": (cashier(PARK, KEEP, "pass"), "a lag of 10"),
        "twice": (cashier(PARK_IN_MEMORY, f"{KEEP_IN_MEMORY}; {KEEP_IN_MEMORY}"), "more than once"),
        "forgets-who-waits": (cashier(PARK_IN_MEMORY, KEEP_IN_MEMORY), "A set in memory dies"),
        "asks-once": (
            cashier(PARK_IN_MEMORY, KEEP_IN_MEMORY, waiting="users_aside(me.client)"),
            "dora, who ran all the time, got emil's partition",
        ),
        "asks-after-a-poison": (
            cashier(
                f"{PARK_IN_MEMORY}; waiting |= users_aside(me.client)", KEEP_IN_MEMORY, waiting="users_aside(me.client)"
            ),
            "got emil's partition back",
        ),
        "asks-once-for-each-partition": (
            cashier(PARK_IN_MEMORY, ASK_ONCE_FOR_EACH, waiting="set(); seen = set()"),
            "read aside again whenever partitions come",
        ),
        "from-the-end": (
            cashier(PARK, KEEP, "pass")
            .replace('"auto_offset_reset": "earliest", "enable_auto_commit": False', '"auto_commit_interval_ms": 100')
            .replace("handled=10", "assigned=2"),
            "begins at the end",
        ),
        "another-group": (cashier(PARK, KEEP).replace('group="cashiers"', 'group="others"'), "the group of team is"),
        "another-value": (
            cashier(PARK, KEEP).replace("value=record.value)", 'value=record.value + b" " * (where == settled))'),
            "send record.value itself",
        ),
        "no-keys": (cashier(PARK_IN_MEMORY, KEEP_IN_MEMORY).replace("key=record.key, ", ""), "records without a key"),
    },
)

EXERCISES = [ONE_IDLE, BACK_IN_TIME, TAKE_OVER, BOTH_TOPICS, KEEP_ORDER]
