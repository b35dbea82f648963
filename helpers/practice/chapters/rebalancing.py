"""Exercises on rebalances. The answers are teams of actors, and the group's coordinator says what became of them."""

import subprocess
import sys
import time

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from ... import observe
from ...observe.ask import ask
from ..broker_state import (
    START,
    alone,
    check_group_id,
    check_team,
    check_watched,
    commit,
    committed,
    ends,
    eventually,
    listed,
    members,
    other_topics,
    send,
)
from ..exercise import Exercise, Incorrect, NotAttempted, own_loop

PASS_TOPIC = "pass `topic`, the full name of the exercise's topic"


def group_now(lab, group):
    """(state, {client_id: number of partitions}, [member_id]) as the coordinator has it."""
    state, found = members(lab, group)
    return state, {name: len(places) for name, places, _ in found}, [member_id for _, _, member_id in found]


def check_two(lab, group, team):
    """Raises Incorrect unless ann and ben share the four partitions."""
    check_team(lab, team, group.removeprefix(lab.prefix))
    if more := sorted(set(team.running()) - {"ann", "ben"}):
        raise Incorrect(f"{listed(more)} runs too", "ann and ben", 'actors.start(lab, billing, ["ann", "ben"], ...)')
    told = team.timeline()
    if gone := sorted(set(told[told.event.isin(["killed", "left"])].member) - set(team.running())):
        raise Incorrect(f"{listed(gone)} has ended", "ann and ben run", "the check does the rest: run your cell again")
    await_members(lab, group, team, {"ann", "ben"})
    if not eventually(lambda: share(lab, group, team)):
        state, owned, _ = group_now(lab, group)
        error = raised(team)
        raise Incorrect(
            f"the group is {state}, with {listed(sorted(owned)) or 'no member'}{error and '; ' + error}",
            "ann and ben with two partitions each",
            advice_on_two(lab, group, team, owned, error),
        )
    if wrong := other_topics(lab, group, group):
        raise Incorrect(f"the group reads {listed(wrong)}", group, PASS_TOPIC)


def raised(team):
    """Who has raised what, at most 120 characters of it, or "". A warning of a member's client is no error."""
    team.running()  # reads what is new in the logs
    return next((f"{process.name} raised {process.error[:120]}" for process in team.processes if process.error), "")


def advice_on_two(lab, group, team, owned, error):
    """What may be wrong with a group in which ann and ben do not share."""
    if "FencedInstanceId" in error:
        return "two members cannot have one group_instance_id: the second throws the first one out"
    if error:
        return 'mend what it has raised: team.output("ann") and team.output("ben") have all of it'
    if "returned" in set(team.timeline().event):
        return "a member has returned at once: what is started is the function with the loop, reader(topic), not reader"
    if owned and not {"ann", "ben"} & set(owned):
        return "client_id=me.name: the check tells the members by it"
    if reads_elsewhere(lab, group):
        return PASS_TOPIC
    return 'ann and ben, no more and no less: actors.start(lab, billing, ["ann", "ben"], group=...)'


def share(lab, group, team):
    """Whether ann and ben, as they run now, are the members of the group, with two partitions each."""
    return group_now(lab, group)[:2] == ("Stable", {"ann": 2, "ben": 2}) and have_joined(team) == {"ann", "ben"}


def await_members(lab, group, team, names):
    """Waits until all have joined the group, or one has ended: on a busy machine a process alone takes seconds.

    Raises Incorrect for members in which nobody can look: they are in another group, tell nothing of their loops, or
    speak another protocol.
    """

    def silent():
        return members(lab, group)[1] and not team.count("joining")

    def modern():
        return protocol(lab, group) == "consumer"

    def ended():
        return not names <= set(team.running()) or team.count("astray")

    eventually(lambda: names <= have_joined(team) or ended() or silent() or modern(), seconds=START)
    check_group_id(team)
    if silent():
        check_watched(team)
    if modern():
        advice = "take KafkaConsumer, or reader(topic, ...)"
        raise Incorrect("the group uses the consumer protocol (KIP-848)", "a group the check can look into", advice)


def reads_elsewhere(lab, group):
    """Whether a group has members, and they read another topic than the exercise's, or none that exists."""
    owned = group_now(lab, group)[1]
    return bool(owned) and (not any(owned.values()) or bool(other_topics(lab, group, group)))


def protocol(lab, group):
    """The protocol of a group, "classic" or "consumer"; None if there is no such group."""
    return ask(lab, lambda admin: {one["group_id"]: one["group_type"] for one in admin.list_groups()}).get(group)


def have_joined(team):
    """Who has got partitions since its process started."""
    told = team.timeline()
    last = told[told.event.isin(["started", "joined"])].groupby("member").event.last()
    return set(last[last == "joined"].index)


def names(team):
    return set(team.timeline().member)


# ---- sooner --------------------------------------------------------------------------------------------------------

TOPIC_OF_FOUR = 4
SOON = 4  # seconds


def make_sooner(lab):
    lab.topic("sooner", partitions=TOPIC_OF_FOUR)


def check_sooner(lab, team):
    group = lab.name("sooner")
    check_two(lab, group, team)
    team.kill("ben")
    killed = time.monotonic()
    alone_in_time = eventually(lambda: group_now(lab, group)[:2] == ("Stable", {"ann": 4}), seconds=SOON)
    took = time.monotonic() - killed
    state, owned, _ = group_now(lab, group)
    team.add("ben")
    eventually(lambda: "ben" in group_now(lab, group)[1])  # as before, for another check
    if not alone_in_time:
        raise Incorrect(
            f"{SOON} s after ben was killed the group is {state}, with {listed(sorted(owned))}",
            "ann with all four partitions by then",
            f"session_timeout_ms is how long the coordinator waits for a heartbeat (45 s by default): below {SOON} s",
        )
    return f"ann had all four partitions {took:.1f} s after ben was killed"


MEMBER = """
    from kafka import KafkaConsumer
    from helpers import actors

    def billing(me):
        consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, {settings}**me.client)
        for record in me.records(consumer):
            pass

    team = actors.start(lab, billing, {members}, group="{group}")
"""


def team_of(group, settings="", members='["ann", "ben"]'):
    """The source of a team whose consumers have these settings."""
    return MEMBER.format(group=group, settings=settings, members=members)


MODERN = """
    from helpers import actors

    def billing(me):
        from confluent_kafka import Consumer

        names = {"group.id": me.group, "client.id": me.name, "group.protocol": "consumer"}
        consumer = Consumer({**{key.replace("_", "."): value for key, value in me.client.items()}, **names})
        consumer.subscribe([topic])
        while not me.stopping:
            consumer.poll(0.2)
        consumer.close()

    team = actors.start(lab, billing, ["ann", "ben"], group="sooner")
"""

SOONER = Exercise(
    id="sooner",
    chapter="rebalancing",
    topic="sooner",
    text="""
        **Sooner.** `topic` has four partitions. Start `ann` and `ben` as the group `"sooner"`, with
        `KafkaConsumer(client_id=me.name, ...)`, so that when `ben` is killed, `ann` owns all four partitions within
        four seconds: `team = actors.start(...)`. The check kills `ben` with kill -9.
    """,
    answers=["team"],
    start="""
        # your code
        team = ...
    """,
    prepare=alone(make_sooner),
    check=check_sooner,
    hints=[
        "A killed member says nothing. The coordinator notices that its heartbeats are missing.",
        "Two settings of KafkaConsumer: how long they may be missing, and how often they are sent.",
        "session_timeout_ms=2000, heartbeat_interval_ms=300. This broker allows one second and more.",
    ],
    reference=team_of("sooner", "session_timeout_ms=2000, heartbeat_interval_ms=300, "),
    wrong={
        "defaults": (team_of("sooner"), "session_timeout_ms is how long"),
        "too-short": (
            team_of("sooner", "session_timeout_ms=500, heartbeat_interval_ms=100, "),
            "InvalidSessionTimeoutError",
        ),
        "alone": (team_of("sooner", "session_timeout_ms=2000, heartbeat_interval_ms=300, ", '["ann"]'), "with ann\n"),
        "three": (team_of("sooner", members='["ann", "ben", "cho"]'), "cho runs too"),
        "no-team": ("team = 'ann and ben'", "what actors.start returned"),
        "another-group": (team_of("soon"), 'group="sooner"'),
        "another-topic": (
            '\n    topic = lab.topic("other", partitions=4)' + team_of("sooner"),
            "reads rebalancing-other",
        ),
        "own-group": (team_of("sooner").replace("me.group", '"sooner"'), "is 'sooner'"),
        "no-group": (team_of("sooner").replace("group_id=me.group, ", ""), "is None"),
        "no-topic": ('\n    topic = "sooner"' + team_of("sooner"), "pass `topic`"),
        "no-names": (team_of("sooner").replace("client_id=me.name, ", ""), "client_id=me.name"),
        "not-called": (team_of("sooner").replace("billing, [", "lambda me: billing, ["), "has returned at once"),
        "own-loop": (own_loop(team_of("sooner")), "me.follow(consumer)"),
        "consumer-protocol": (MODERN, "KIP-848"),
        "killed-before": (team_of("sooner") + '    team.kill("ben")', "ben has ended"),
    },
)

# ---- steady --------------------------------------------------------------------------------------------------------

AWAY = 1.5  # seconds


def make_steady(lab):
    lab.topic("steady", partitions=TOPIC_OF_FOUR)


def check_steady(lab, team):
    group = lab.name("steady")
    check_two(lab, group, team)
    before, (_, _, ids) = observe.members(lab, group), group_now(lab, group)
    static = static_members(lab, group)
    is_static = "ben" in dict(static)
    team.stop("ben")
    stopped = time.monotonic()
    moved = eventually(lambda: group_now(lab, group)[:2] != ("Stable", {"ann": 2, "ben": 2}), seconds=AWAY)
    after = time.monotonic() - stopped
    team.add("ben")
    if not moved and not is_static:
        advice = "KafkaConsumer(group_instance_id=me.name, ...)"
        raise Incorrect("ben has no group_instance_id", "a static member, known by it when he is back", advice)
    await_members(lab, group, team, {"ben"})

    def other_id():
        return static_members(lab, group) - static

    back = eventually(lambda: other_id() or (share(lab, group, team) and group_now(lab, group)[2] != ids))
    if moved:
        raise Incorrect(
            f"the group rebalanced {after:.1f} s after ben had stopped",
            f"no rebalance while ben is away for {AWAY} s",
            "the place is kept for session_timeout_ms only: longer than the restart"
            if is_static
            else "with a group_instance_id of its own a member does not say goodbye",
        )
    if other_id():
        raise Incorrect("ben came back with another group_instance_id", "the one that he had", "me.name is the same")
    if not back:
        raise Incorrect("ben did not come back", "ben in the group again", 'look at team.output("ben")')
    if not observe.members(lab, group).equals(before):
        raise Incorrect("partitions have moved", "ann and ben with what they had", 'look at team.output("ben")')
    return f"ben was away for {AWAY} s, and nothing moved"


def static_members(lab, group):
    """{(client_id, group_instance_id)} of a group's static members."""
    described = ask(lab, lambda admin: admin.describe_groups([group])[group])
    return {(one["client_id"], one["group_instance_id"]) for one in described["members"] if one["group_instance_id"]}


STEADY = Exercise(
    id="steady",
    chapter="rebalancing",
    topic="steady",
    text="""
        **Steady.** `topic` has four partitions. Start `ann` and `ben` as the group `"steady"`, with
        `KafkaConsumer(client_id=me.name, ...)`, so that a restart of `ben` moves no partition and causes no rebalance:
        `team = actors.start(...)`. The check stops `ben`, starts him again after 1.5 seconds, and watches the
        coordinator meanwhile.
    """,
    answers=["team"],
    start="""
        # your code
        team = ...
    """,
    prepare=alone(make_steady),
    check=check_steady,
    hints=[
        "An ordinary member leaves the group when it closes. A static one does not.",
        "group_instance_id makes a member static. It must be the same at each start, and another for each member.",
        "group_instance_id=me.name, and a session that is longer than the restart (the default is).",
    ],
    reference=team_of("steady", "group_instance_id=me.name, heartbeat_interval_ms=300, "),
    wrong={
        "not-static": (team_of("steady", "heartbeat_interval_ms=300, "), "does not say goodbye"),
        "one-id": (
            team_of("steady", 'group_instance_id="till", heartbeat_interval_ms=300, '),
            "cannot have one group_instance_id",
        ),
        "silent": (
            team_of("steady", "heartbeat_interval_ms=300, session_timeout_ms=6000, ").replace(
                "pass\n", "pass\n        __import__('os')._exit(0)\n"
            ),
            "ben has no group_instance_id",
        ),
        "another-id": (
            team_of(
                "steady", "group_instance_id=f\"{me.name}-{__import__('os').getpid()}\", heartbeat_interval_ms=300, "
            ),
            "ben came back with another group_instance_id",
        ),
        "short-session": (
            team_of("steady", "group_instance_id=me.name, session_timeout_ms=1000, heartbeat_interval_ms=200, "),
            "longer than the restart",
        ),
        "no-team": ("team = 42", "what actors.start returned"),
    },
)

# ---- hand-over -----------------------------------------------------------------------------------------------------

EACH = 10  # records in each partition
MOST_COMMITS = 12  # of a partition's offset


def make_hand_over(lab):
    topic = lab.topic("hand-over", partitions=TOPIC_OF_FOUR)
    send(lab, topic, [{"partition": n % TOPIC_OF_FOUR, "value": b"sale"} for n in range(EACH * TOPIC_OF_FOUR)])


def check_hand_over(lab, team):
    check_team(lab, team, "hand-over")
    topic = group = lab.name("hand-over")
    if "ben" in names(team):
        advice = 'each check adds ben itself: start ["ann"] alone, and run that cell again before another check'
        raise Incorrect("ben is there already", "ann alone at first", advice)
    there = ends(lab, topic)  # more than at first, if an answer was checked before
    total = sum(there.values())
    await_members(lab, group, team, {"ann"})
    if not eventually(lambda: len(handled(team)) >= total):
        check_nobody_raised(team)
        if reads_elsewhere(lab, group):
            raise Incorrect("ann reads another topic, or none", topic, PASS_TOPIC)
        raise Incorrect(
            f"ann has handled {len(handled(team))} of {total} records",
            f"all of them (each check sends {TOPIC_OF_FOUR} more)",
            'auto_offset_reset="earliest", and a loop over me.records(consumer)',
        )
    team.add("ben")
    await_members(lab, group, team, {"ann", "ben"})
    shared = eventually(lambda: share(lab, group, team))
    check_nobody_raised(team)
    if not shared:
        raise Incorrect("ann and ben do not share the partitions", "two each", 'look at team.output("ann")')
    assignor = eventually(lambda: ask(lab, lambda admin: admin.describe_groups([group])[group])["protocol_data"])
    if assignor != CooperativeStickyAssignor.name:
        raise Incorrect(
            f"the group's assignor is {assignor}",
            CooperativeStickyAssignor.name,
            "partition_assignment_strategy=[CooperativeStickyAssignor]",
        )
    send(lab, topic, [{"partition": n, "value": b"sale"} for n in range(TOPIC_OF_FOUR)])
    eventually(lambda: there.items() <= set(handled(team)))
    judge_hand_over(team, total + TOPIC_OF_FOUR, there)
    return "ben went on where ann had stopped: nothing was lost or repeated"


def check_nobody_raised(team):
    """Raises Incorrect with what a member has raised."""
    if error := raised(team):
        advice = "a listener is async here: await consumer.commit_async(...)"
        raise Incorrect(error, "members that go on", advice)


def handled(team):
    """[(partition, offset)] of every time that a record was handled."""
    told = team.timeline()
    done = told[told.event == "handled"]
    return list(zip(done.partitions.str[0], done.offset, strict=True))


def judge_hand_over(team, total, there):
    """Raises Incorrect for what was lost or repeated, and for more commits than are needed.

    there: {partition: the end when ben joined}.
    """
    places, told = handled(team), team.timeline()
    again, lost = len(places) - len(set(places)), total - len(set(places))
    commits = told[(told.event == "committed") & (told.member == "ann")]
    if lost:
        raise Incorrect(f"{lost} records were never handled", "each once", "commit what is done, and no more")
    if again:
        kept = sorted({partition for partitions in commits.partitions for partition in partitions})
        what = f"ann committed partitions {kept}" if kept else "ann committed nothing"
        seen = f"{again} records were handled twice; {what}"
        repeated = {place for place in places if places.count(place) > 1}
        if kept and all(offset == there[partition] - 1 for partition, offset in repeated):
            raise Incorrect(seen, "each record once", "a committed offset is the one to read next: record.offset + 1")
        raise Incorrect(
            seen,
            "each record once",
            "under cooperative-sticky commit the offsets of the partitions that you are called with"
            if kept
            else "a rebalance listener: on_partitions_revoked is the last moment to commit",
        )
    if len(commits) > MOST_COMMITS:
        raise Incorrect(
            f"ann committed {len(commits)} offsets",
            "a commit when partitions go",
            "each commit is a trip to the broker: leave it to the listener",
        )
    check_only_what_goes(told, commits)


def check_only_what_goes(told, commits):
    """Raises Incorrect when ann has committed offsets of partitions that she kept, as auto commit does."""
    gone = set(told[(told.event == "revoked") & (told.member == "ann")].explode("partitions").partitions)
    if kept := sorted(set(commits.explode("partitions").partitions) - gone):
        raise Incorrect(
            f"ann committed partitions {kept} too, which nobody took from her",
            f"a commit of {sorted(gone)}, when they go",
            "enable_auto_commit=False, and a listener that commits what is revoked, not all that is done",
        )


LISTENER = """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.structs import OffsetAndMetadata
    from helpers import actors

    class OnRevoke(AsyncConsumerRebalanceListener):
        def __init__(self, consumer, done):
            self.consumer, self.done = consumer, done

        async def on_partitions_revoked(self, revoked):
            {revoked}

        async def on_partitions_assigned(self, assigned):
            pass

    def billing(me):
        done = {{}}
        consumer = KafkaConsumer(
            group_id=me.group, client_id=me.name, enable_auto_commit=False, auto_offset_reset="earliest",
            heartbeat_interval_ms=300, partition_assignment_strategy=[CooperativeStickyAssignor], **me.client
        )
        consumer.subscribe([topic], listener=OnRevoke(consumer, done))
        for record in me.records(consumer):
            place = TopicPartition(topic, record.partition)
            done[place] = OffsetAndMetadata(record.offset + 1, "", -1)
            {after}

    team = actors.start(lab, billing, ["ann"], group="hand-over")
"""
EXACT = "await self.consumer.commit_async({place: self.done[place] for place in revoked if place in self.done})"


def listening(revoked="pass", after=""):
    """The source of a team with a listener."""
    return LISTENER.format(revoked=revoked, after=after)


HAND_OVER = Exercise(
    id="hand-over",
    chapter="rebalancing",
    topic="hand-over",
    text="""
        **Hand over.** `topic` has four partitions with ten records each. Start `ann` alone as the group
        `"hand-over"`: with `enable_auto_commit=False`, cooperative-sticky, and from the earliest offset. When she has
        handled all, the check adds `ben`. Every record must be handled once, and `ann` commits only what she must:
        when partitions are taken away. `team = actors.start(...)`.
    """,
    answers=["team"],
    start="""
        # your code
        team = ...
    """,
    prepare=alone(make_hand_over),
    check=check_hand_over,
    hints=[
        "consumer.subscribe([topic], listener=...): on_partitions_revoked is called with the partitions that go.",
        "Under cooperative-sticky their positions are gone by then. Note yourself what is done, record by record.",
        "await consumer.commit_async({place: done[place] for place in revoked if place in done})",
    ],
    reference=listening(EXACT),
    wrong={
        "no-commit": (listening(), "ann committed nothing"),
        "everything": (listening("await self.consumer.commit_async()"), "that you are called with"),
        "each-record": (listening(after="consumer.commit()"), "a trip to the broker"),
        "eager": (
            listening("await self.consumer.commit_async()").replace(
                "partition_assignment_strategy=[CooperativeStickyAssignor], ", ""
            ),
            "the group's assignor is range",
        ),
        "its-own-offset": (listening(EXACT).replace("record.offset + 1", "record.offset"), "the one to read next"),
        "auto-commit": (
            listening().replace("enable_auto_commit=False", "auto_commit_interval_ms=60_000"),
            "nobody took from her",
        ),
        "another-group": (listening(EXACT).replace('"hand-over")', '"handover")'), 'group="hand-over"'),
        "another-topic": ('\n    topic = lab.name("steady")' + listening(EXACT), "pass `topic`"),
        "not-async": (listening("self.consumer.commit(dict(self.done))"), "ann raised"),
    },
)

# ---- ghost ---------------------------------------------------------------------------------------------------------

DIES = """
import os, sys
from kafka import KafkaConsumer

settings = {"session_timeout_ms": 600_000, "enable_auto_commit": False, "client_id": "ghost"}
consumer = KafkaConsumer(sys.argv[1], group_id=sys.argv[2], **settings, **eval(sys.argv[3]))
for _ in range(20):
    consumer.poll(timeout_ms=1000)
    if consumer.assignment():
        os._exit(0)
os._exit(1)
"""
AT = 4  # the committed offset


def make_ghost(lab):
    """A topic of ten records, and a group with a committed offset and a member whose process is dead."""
    topic, group = lab.topic("desk"), lab.group("desk")
    send(lab, topic, [{"value": b"%d" % n} for n in range(10)])
    commit(lab, topic, group, {0: AT})
    command = [sys.executable, "-c", DIES, topic, group, repr(lab.client)]
    subprocess.run(command, capture_output=True, timeout=30, check=True)


AGAIN = 'Begin afresh with practice.task("ghost", lab)'


def check_ghost(lab):
    topic = group = lab.name("desk")
    _, owned, _ = group_now(lab, group)
    if "ghost" in owned:
        advice = (
            "if you have tried: the place belongs to the member_id that describe_groups shows. A consumer of your "
            "own only waits behind it"
        )
        raise NotAttempted("the dead member still has its place", advice)
    now = committed(lab, topic, group).get(0)
    if now is None:
        raise Incorrect(
            "the ghost is gone, and so are the group's offsets",
            f"offset {AT}, as it was",
            f"lab.group, delete_groups and actors.start make Kafka forget a group's offsets. {AGAIN}: then remove the "
            'member, by lab.admin.remove_group_members(lab.name("desk"), ...), and leave the group',
        )
    if now != AT:
        raise Incorrect(
            f"the ghost is gone, and committed: {now}",
            f"{AT}, as it was",
            f"do not read or commit as this group; removing the member is all. {AGAIN}",
        )
    return f"no ghost, and the next member goes on at offset {AT}"


REMOVE = """
    from kafka.admin import MemberToRemove

    group = lab.name("desk")
    members = lab.admin.describe_groups([group])[group]["members"]
    lab.admin.remove_group_members(group, [MemberToRemove(member_id=member["member_id"]) for member in members])
"""
THEN_COMMIT = """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.structs import OffsetAndMetadata
    with KafkaConsumer(group_id=group, enable_auto_commit=False, **lab.client) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.commit({{TopicPartition(topic, 0): OffsetAndMetadata({offset}, "", -1)}})
"""

GHOST = Exercise(
    id="ghost",
    chapter="rebalancing",
    topic="desk",
    text="""
        **Ghost.** The group `lab.name("desk")` reads `topic`, and has committed offset 4. Its only member is dead,
        with a session of ten minutes. Free its place now, so that the next member can go on at offset 4.
    """,
    prepare=alone(make_ghost),
    check=check_ghost,
    hints=[
        "lab.admin.describe_groups([group])[group] shows the members, each with its member_id.",
        "The offsets belong to the group, not to the member: do not delete the group.",
        "lab.admin.remove_group_members(group, [MemberToRemove(member_id=...)])",
    ],
    reference=REMOVE,
    wrong={
        "new-group": ('lab.group("desk")', "so are the group's offsets"),
        "read-on": (REMOVE + THEN_COMMIT.format(offset=10), "committed: 10"),
        "from-the-start": (REMOVE + THEN_COMMIT.format(offset=0), "committed: 0"),
    },
)

EXERCISES = [SOONER, STEADY, HAND_OVER, GHOST]
