"""Members as real processes: what they log, what we do to them, and that nothing of them stays behind."""

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import kafka.errors
import psutil
import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError

from helpers import actors, observe
from helpers.actors import kernel_side, log
from helpers.broker import stop
from helpers.lab import LabError, open_lab, wait_until
from tests.notebooks.kernels import CourseKernelManager
from tests.unit import SOON

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as what is defined in a notebook's cell

CONSUMER = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 100, "session_timeout_ms": 6000}
FACTS = ["started", "joining", "joined", "assigned", "revoked", "lost", "left", "killed", "crashed", "returned"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One broker for the whole file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_COURSE_HOME", str(tmp_path_factory.mktemp("actors")))
        patch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        patch.setattr(importlib.import_module("helpers.broker.choose"), "compose_broker", lambda: None)
        lab = open_lab("acting")
        yield lab
        lab.close()
        stop(wipe=True)


@pytest.fixture(autouse=True)
def nobody_left(lab):
    yield
    for end in lab.at_close:
        end()


def reader(topic, work=lambda me, record: None, **settings):
    """A member's function: it works on each record of the topic."""

    def billing(me):
        consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **{**CONSUMER, **settings, **me.client})
        for record in me.records(consumer):
            work(me, record)

    return billing


def send(lab, topic, number, partitions=1):
    with KafkaProducer(**lab.client) as producer:
        for n in range(number):
            producer.send(topic, partition=n % partitions, value=b"%d" % n)


def story(team, member, events=FACTS):
    """The events of one member, by time."""
    told = team.timeline()
    return told[(told.member == member) & told.event.isin(events)].event.tolist()


@contextlib.contextmanager
def refused(words):
    """One LabError that says what, why and how to mend it, within SOON."""
    start = time.monotonic()
    with pytest.raises(LabError, match=words) as caught:
        yield caught
    assert time.monotonic() - start < SOON
    assert caught.value.what
    assert caught.value.mend


# ---- joining, leaving ----------------------------------------------------------------------------------------------


def test_a_member_ends_in_time_while_its_group_waits_for_another(lab):
    topic = lab.topic("waits", partitions=2)
    team = actors.start(lab, reader(topic), ["anna"], group="waits")
    team.wait(assigned=2)
    with KafkaConsumer(topic, group_id=team.group, **CONSUMER, **lab.client) as slow:  # it polls until it has joined
        wait_until(lambda: slow.poll(timeout_ms=100) is not None and slow.assignment(), "the slow member to join")
        team.wait(assigned=1)
        asked = team.count("revoked", member="anna")
        team.add("ben")
        wait_until(lambda: team.count("revoked", member="anna") > asked, "anna to join again")
        team.stop()
    assert story(team, "anna")[-1] == story(team, "ben")[-1] == "left"


def test_two_members_share_the_partitions_and_log_what_they_do(lab):
    topic = lab.topic("orders", partitions=4)
    send(lab, topic, 40, partitions=4)
    team = actors.start(lab, reader(topic), ["anna", "ben"], group="billing")
    team.wait(assigned=4, handled=40, deadline=20)
    told = team.timeline()
    assert list(told) == ["t", "member", "event", "topic", "partitions", "offset", "detail"]
    assert told.t.is_monotonic_increasing
    assert 0 <= told.t.iloc[0] < SOON
    handled = told[told.event == "handled"]
    assert sorted(zip(handled.partitions.str[0], handled.offset, strict=True)) == [
        (partition, offset) for partition in range(4) for offset in range(10)
    ]
    owned = {p.name: sorted(partition for _, partition in p.owned) for p in team.processes}
    seen = observe.members(lab, team.group)
    assert dict(zip(seen.member, seen.partitions, strict=True)) == owned
    assert sorted(chain(*owned.values())) == [0, 1, 2, 3]
    assert story(team, "anna")[:2] == ["started", "joining"]


def test_a_member_that_stops_leaves_at_once_and_has_committed_what_it_handled(lab):
    topic = lab.topic("orders")
    send(lab, topic, 1000)
    team = actors.start(lab, reader(topic, lambda me, record: time.sleep(0.01)), ["anna"], group="billing")
    team.wait(handled=10, deadline=20)
    team.stop("anna")
    assert observe.group_state(lab, team.group)["state"] == "Empty"
    handled = story(team, "anna", ["handled"])
    assert 10 <= len(handled) < 1000
    assert observe.offsets(lab, topic, team.group).committed[0] == len(handled)
    assert story(team, "anna") == ["started", "joining", "assigned", "joined", "revoked", "left"]
    told = team.timeline()
    assert told[told.event == "committed"].offset.iloc[-1] == len(handled)


def test_a_killed_member_holds_its_partitions_until_the_session_times_out(lab):
    topic = lab.topic("orders", partitions=2)
    team = actors.start(lab, reader(topic, session_timeout_ms=3000), ["anna", "ben"], group="billing")
    team.wait(assigned=2, deadline=20)
    team.kill("ben")
    assert story(team, "ben")[-1] == "killed"
    assert not psutil.pid_exists(team.processes[1].pid)
    assert len(observe.members(lab, team.group)) == 2
    team.wait(assigned=2, deadline=20)
    told = team.timeline()
    killed, taken = told[told.event == "killed"].iloc[0], told[told.event == "assigned"].iloc[-1]
    assert killed.detail == {"signal": "SIGKILL"}
    assert taken.partitions == [0, 1]
    assert 2 < taken.t - killed.t < 6


def test_a_rolling_restart_with_names_used_again(lab):
    topic = lab.topic("orders", partitions=2)
    team = actors.start(lab, reader(topic), ["anna", "ben"], group="billing")
    team.wait(assigned=2, deadline=20)
    for name in ("anna", "ben"):
        team.stop(name)
        team.add(name)
        team.wait(assigned=2, deadline=20)
    assert story(team, "ben", ["started", "left", "joined"]) == ["started", "joined", "left", "started", "joined"]


def test_a_static_member_that_comes_back_in_time_causes_no_rebalance(lab):
    topic = lab.topic("orders", partitions=2)

    def billing(me):
        settings = {**CONSUMER, "session_timeout_ms": 5000, **me.client}
        consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, group_instance_id=me.name, **settings)
        for _ in me.records(consumer):
            pass

    team = actors.start(lab, billing, ["anna", "ben"], group="billing")
    team.wait(assigned=2, deadline=20)
    generations = [process.generation for process in team.processes]
    before = {process.name: set(process.owned) for process in team.processes}
    team.stop("ben")
    assert len(observe.members(lab, team.group)) == 2
    team.add("ben")
    team.wait(assigned=2, deadline=20)
    assert [process.generation for process in team.processes] == [*generations, generations[0]]
    assert {process.name: process.owned for process in team.processes} == before


def test_the_partitions_that_stay_are_not_revoked_in_a_cooperative_rebalance(lab):
    topic = lab.topic("orders", partitions=4)
    function = reader(topic, partition_assignment_strategy=[CooperativeStickyAssignor])
    team = actors.start(lab, function, ["anna"], group="billing")
    team.wait(assigned=4, deadline=20)
    team.add("ben")
    team.wait(assigned=4, deadline=20)
    told = team.timeline()
    assert [len(partitions) for partitions in told[told.event == "revoked"].partitions] == [2]
    assert story(team, "anna", ["revoked", "assigned"]) == ["assigned", "revoked"]
    assert story(team, "ben", ["assigned"]) == ["assigned"]


def test_added_partitions_are_shared_too(lab):
    topic = lab.topic("orders", partitions=2)
    team = actors.start(lab, reader(topic, metadata_max_age_ms=300), ["anna", "ben"], group="billing")
    team.wait(assigned=2, deadline=20)
    lab.admin.create_partitions({topic: 5})
    team.wait(assigned=5, deadline=20)


def test_a_leader_that_rejoins_for_new_partitions_does_not_forget_that_it_does(lab):
    topic = lab.topic("orders", partitions=2)

    def billing(me):
        consumer = KafkaConsumer(topic, group_id=me.group, metadata_max_age_ms=300, **CONSUMER, **me.client)
        coordinator = consumer._coordinator
        deal = coordinator._perform_assignment

        def noted(*arguments):
            answer = deal(*arguments)
            me.log("dealt", remembers=coordinator.need_rejoin())
            return answer

        coordinator._perform_assignment = noted
        for _ in me.records(consumer):
            pass

    team = actors.start(lab, billing, ["anna"], group="billing")
    team.wait(assigned=2, deadline=20)
    lab.admin.create_partitions({topic: 5})
    team.wait(assigned=5, deadline=20)
    told = team.timeline()
    remembers = [detail["remembers"] for detail in told[told.event == "dealt"].detail]
    assert len(remembers) >= 2, remembers
    assert all(remembers)


# ---- zombies and slow members --------------------------------------------------------------------------------------


def test_the_commit_of_a_zombie_is_refused(lab, tmp_path):
    topic, gate = lab.topic("orders"), tmp_path / "gate"
    send(lab, topic, 3)

    def billing(me):
        settings = {**CONSUMER, "session_timeout_ms": 1000, "enable_auto_commit": False, **me.client}
        consumer = KafkaConsumer(topic, group_id=me.group, client_id=me.name, **settings)
        for record in me.records(consumer):
            if me.name == "zombie" and record.offset == 1:
                me.log("holding")
                wait_until(gate.exists, "the gate")  # it is paused here
            try:
                consumer.commit()
            except KafkaError as error:
                me.log("told", error=type(error).__name__)

    team = actors.start(lab, billing, ["zombie"], group="billing")
    team.wait(holding=1, deadline=20)
    team.pause("zombie")
    team.add("anna")
    team.wait(assigned=1, handled=3, deadline=20)
    gate.touch()
    team.resume("zombie")
    team.wait(refused=1, told=1, lost=1, member="zombie", deadline=20)
    told = team.timeline()
    facts = story(team, "zombie", ["committed", "paused", "resumed", "refused", "lost"])
    assert facts == ["committed", "paused", "resumed", "refused", "refused", "lost"]  # of offsets 2 and 3
    refusal = told[told.event == "refused"].iloc[0]
    assert (refusal.partitions, refusal.offset) == ([0], 2)
    assert told[told.event == "told"].detail.iloc[0] == refusal.detail
    assert observe.offsets(lab, topic, team.group).committed[0] == 3


def test_a_member_that_is_slower_than_max_poll_interval_is_thrown_out(lab):
    topic = lab.topic("orders")
    send(lab, topic, 1)
    function = reader(topic, lambda me, record: time.sleep(1), max_poll_interval_ms=500)
    team = actors.start(lab, function, ["anna"], group="billing")
    team.wait(lost=1, joined=2, deadline=20)
    assert story(team, "anna", ["handled", "lost", "joined"])[:4] == ["joined", "handled", "lost", "joined"]
    assert "poll timeout has expired" in team.output("anna")


# ---- the learner's own listener ------------------------------------------------------------------------------------


class CommitOnRevoke(AsyncConsumerRebalanceListener):
    """What chapter 06 writes."""

    def __init__(self, me, consumer):
        self.me, self.consumer = me, consumer

    async def on_partitions_assigned(self, assigned):
        self.me.log("mine", assigned=len(assigned))

    async def on_partitions_revoked(self, revoked):
        await self.consumer.commit_async()


class Notes(ConsumerRebalanceListener):
    """A listener that is not async."""

    def __init__(self, me):
        self.me = me

    def on_partitions_assigned(self, assigned):
        self.me.log("mine", assigned=len(assigned))

    def on_partitions_revoked(self, revoked):
        self.me.log("mine", revoked=len(revoked))


def test_a_listener_of_ones_own_commits_before_the_partitions_go(lab):
    topic = lab.topic("orders", partitions=2)
    send(lab, topic, 10, partitions=2)

    def billing(me):
        settings = {**CONSUMER, "enable_auto_commit": False, **me.client}
        consumer = KafkaConsumer(group_id=me.group, client_id=me.name, **settings)
        consumer.subscribe([topic], listener=CommitOnRevoke(me, consumer))
        for _ in me.records(consumer):
            pass

    team = actors.start(lab, billing, ["anna"], group="billing")
    team.wait(handled=10, deadline=20)
    assert observe.offsets(lab, topic, team.group).committed.isna().all()
    team.add("ben")
    team.wait(assigned=2, mine=3, deadline=20)
    assert observe.offsets(lab, topic, team.group).committed.tolist() == [5, 5]
    facts = story(team, "anna", ["committed", "revoked", "assigned", "mine"])
    assert facts == ["assigned", "mine", "committed", "committed", "revoked", "assigned", "mine"]
    assert len(story(team, "ben", ["handled"])) == 0


def test_a_listener_that_is_not_async_is_called_too(lab):
    topic = lab.topic("orders", partitions=2)

    def billing(me):
        consumer = KafkaConsumer(group_id=me.group, client_id=me.name, **CONSUMER, **me.client)
        consumer.subscribe([topic], listener=Notes(me))
        me.follow(consumer)
        while not me.stopping:
            consumer.poll(timeout_ms=200)

    team = actors.start(lab, billing, ["anna"], group="billing")
    team.wait(assigned=2, deadline=20)
    team.stop()
    told = team.timeline()
    notes = [detail for detail in told[told.event == "mine"].detail if detail != {"revoked": 0}]
    assert notes == [{"assigned": 2}, {"revoked": 2}]
    assert story(team, "anna")[-2:] == ["revoked", "left"]


# ---- any process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "goes_on"), [("MetadataEmptyBrokerList", True), ("TopicAuthorizationFailedError", False)]
)
def test_an_error_of_poll_that_passes_does_not_end_a_member(lab, name, goes_on):
    topic = lab.topic("orders")

    class Troubled(KafkaConsumer):
        """The first poll() of a member fails."""

        failed = False

        def poll(self, *arguments, **settings):
            if self.assignment() and not self.failed:
                self.failed = True
                raise getattr(kafka.errors, name)
            return super().poll(*arguments, **settings)

    def billing(me):
        for _ in me.records(Troubled(topic, group_id=me.group, client_id=me.name, **CONSUMER, **me.client)):
            pass

    team = actors.start(lab, billing, ["ann"], group="billing")
    if not goes_on:
        with pytest.raises(LabError, match=f"ann crashed: .*{name}"):
            team.wait(retried=1, deadline=20)
        return
    team.wait(retried=1, deadline=20)
    with KafkaProducer(**lab.client) as producer:
        producer.send(topic, value=b"x")
    team.wait(handled=1, deadline=20)


def test_an_actor_needs_no_group_and_logs_events_of_its_own(lab):
    def till(me):
        while not me.stopping:
            me.log("paid", user="지우", amount=3)
            time.sleep(0.02)

    team = actors.start(lab, till, ["one"])
    team.add("two", function=lambda me: me.log("hello", group=me.group, name=me.name))
    team.wait(paid=3, member="one", deadline=20)
    team.wait(hello=1, returned=1, deadline=20)
    team.stop()
    told = team.timeline()
    assert team.count("paid") == team.count("paid", "one") == (told.event == "paid").sum() >= 3
    assert (team.count("started"), team.count("started", "two"), team.count("paid", "two")) == (2, 1, 0)
    assert told[told.event == "paid"].detail.iloc[0] == {"user": "지우", "amount": 3}
    assert told[told.event == "hello"].detail.iloc[0] == {"group": None, "name": "two"}
    assert story(team, "one", ["stopping", "left"]) == ["stopping", "left"]


def test_what_a_member_prints_is_shown_under_its_name(lab, capsys):
    def chatter(me):
        print("handled 1")
        print("no end", end="")
        print("a warning", file=sys.stderr)

    team = actors.start(lab, chatter, ["anna"])
    team.wait(returned=1, deadline=20)
    assert capsys.readouterr().out == "anna | handled 1\nanna | no end\n"
    assert sorted(team.output("anna").splitlines()) == ["a warning", "handled 1", "no end"]


def test_a_crash_is_shown_with_the_line_of_the_learner(lab, capsys):
    def billing(me):
        raise ValueError("no such user")  # the guilty line

    team = actors.start(lab, billing, ["anna"], group="billing")
    with refused("anna crashed: ValueError: no such user"):
        team.wait(assigned=1)
    shown = capsys.readouterr().out
    assert "anna | ValueError: no such user" in shown
    assert 'raise ValueError("no such user")  # the guilty line' in shown
    assert "member.py" not in shown
    assert story(team, "anna") == ["started", "crashed"]


def test_a_crash_in_a_library_is_shown_with_the_learners_line_only(lab, capsys):
    def billing(me):
        json.loads("%&!?")  # the guilty call

    team = actors.start(lab, billing, ["anna"])
    team.wait(crashed=1)
    shown = capsys.readouterr().out
    assert "JSONDecodeError: Expecting value" in shown
    assert "# the guilty call" in shown
    assert "decoder.py" not in shown


def test_a_crash_that_was_waited_for_does_not_disturb(lab):
    topic = lab.topic("orders", partitions=2)
    send(lab, topic, 1)

    def work(me, record):
        if me.name == "ben" or not record.offset:
            raise ValueError("poison")

    team = actors.start(lab, reader(topic, work, session_timeout_ms=1000), ["anna"], group="billing")
    team.wait(crashed=1, deadline=20)
    team.add("cho", function=reader(topic))
    team.wait(assigned=2, handled=1, deadline=20)


def test_what_a_member_started_dies_with_it(lab):
    def parent(me):
        child = subprocess.Popen(["sleep", "60"])
        me.log("child", pid=child.pid)
        child.wait()

    team = actors.start(lab, parent, ["anna"])
    team.wait(child=1, deadline=20)
    told = team.timeline()
    child = psutil.Process(told[told.event == "child"].detail.iloc[0]["pid"])
    team.kill("anna")
    gone(child)


def test_starting_again_ends_those_who_ran_and_forgets_their_offsets(lab):
    topic = lab.topic("orders")
    send(lab, topic, 5)
    first = actors.start(lab, reader(topic), ["anna"], group="billing")
    first.wait(handled=5, deadline=20)
    second = actors.start(lab, reader(topic), ["anna"], group="billing")
    assert story(first, "anna")[-1] == "killed"
    second.wait(assigned=1, handled=5, deadline=20)


def test_opening_the_lab_again_ends_everybody(lab):
    topic = lab.topic("orders")
    team = actors.start(lab, reader(topic), ["anna"], group="billing")
    team.wait(assigned=1, deadline=20)
    lab.admin = open_lab("acting").admin
    wait_until(lambda: story(team, "anna")[-1] == "killed", "the member's end")
    assert lab.admin.list_groups() == []


# ---- bad input -----------------------------------------------------------------------------------------------------


def test_a_module_that_is_not_there(lab):
    def billing(me):
        import no_such_module  # noqa: F401

    team = actors.start(lab, billing, ["anna"])
    with refused("No module named 'no_such_module'"):
        team.wait(handled=1)


def test_a_member_that_returns_at_once(lab):
    team = actors.start(lab, lambda me: None, ["anna"], group="billing")
    with refused("Nobody is left to wait for: 0 of 6 partitions assigned(.|\n)*anna returned"):
        team.wait(assigned=6)


def test_a_member_that_never_polls_and_never_looks(lab):
    topic = lab.topic("orders")

    def billing(me):
        KafkaConsumer(topic, group_id=me.group, **me.client)
        time.sleep(60)

    team = actors.start(lab, billing, ["anna"], group="billing")
    with refused(
        "0 of 1 partitions assigned(.|\n)*anna runs: has not joined a group; the coordinator: Dead with nobody"
    ):
        team.wait(assigned=1, deadline=1)
    with refused("anna was asked to end, and still runs"):
        team.stop()
    team.kill()


class Gated(ConsumerRebalanceListener):
    """A listener that takes its time with what it is given: until the gate is there."""

    def __init__(self, gate):
        self.gate = gate

    def on_partitions_assigned(self, assigned):
        wait_until(self.gate.exists, "the gate")

    def on_partitions_revoked(self, revoked):
        pass


def test_one_who_is_given_all_while_another_is_on_the_way_is_no_settled_group(lab, tmp_path):
    topic, gate = lab.topic("orders", partitions=2), tmp_path / "gate"

    def billing(me):
        if me.name == "ben":
            wait_until(gate.exists, "the gate")
        consumer = KafkaConsumer(group_id=me.group, client_id=me.name, **CONSUMER, **me.client)
        consumer.subscribe([topic], listener=Gated(gate))
        for _ in me.records(consumer):
            pass

    team = actors.start(lab, billing, ["anna", "ben"], group="billing")
    wait_until(lambda: team.count("assigned"), "anna to be given both")
    with refused("not all have joined the same generation"):
        team.wait(assigned=2, deadline=1)
    gate.touch()
    team.wait(assigned=2, deadline=20)
    assert [len(process.owned) for process in team.processes] == [1, 1]


def test_waiting_for_what_cannot_happen_names_what_is_missing_and_the_state_of_the_group(lab):
    topic = lab.topic("orders", partitions=2)
    team = actors.start(lab, reader(topic), ["anna", "ben"], group="billing")
    team.wait(assigned=2, deadline=20)
    words = (
        r"Waited 2 s: 2 of 3 partitions assigned, 0 of 5 handled\.(.|\n)*"
        r"anna runs: generation \d, owns [01]; ben runs: generation \d, owns [01]; "
        r"the coordinator: Stable with anna, ben"
    )
    with refused(words):
        team.wait(assigned=3, handled=5, deadline=2)


def test_a_wait_is_long_enough_for_the_heartbeats_that_clients_send_by_default(lab):
    topic = lab.topic("orders", partitions=2)
    function = reader(topic, heartbeat_interval_ms=6000, session_timeout_ms=20_000)
    team = actors.start(lab, function, ["anna"], group="billing")
    team.wait(assigned=2)
    team.add("ben")  # anna learns of it with her next heartbeat
    began = time.monotonic()
    team.wait(assigned=2)
    assert time.monotonic() - began > 4


def test_a_plain_loop_over_the_consumer_is_named_as_what_is_missing(lab):
    topic = lab.topic("orders")

    def billing(me):
        for _ in KafkaConsumer(topic, group_id=me.group, client_id=me.name, **CONSUMER, **me.client):
            pass

    team = actors.start(lab, billing, ["anna"], group="billing")
    wait_until(lambda: lab.admin.describe_groups([team.group])[team.group]["group_state"] == "Stable", "the member")
    with refused(r"0 of 1 partitions assigned(.|\n)*Stable with anna(.|\n)*me.records\(consumer\)"):
        team.wait(assigned=1, deadline=1)


def test_a_text_in_place_of_names_starts_nobody(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"], group="billing")
    with refused(r"members is a text: 'anna'(.|\n)*members=\['anna'\]"):
        actors.start(lab, lambda me: time.sleep(60), "anna", group="billing")
    assert story(team, "anna") == ["started"]


def test_a_number_in_place_of_names_starts_nobody(lab):
    with refused("members is 4(.|\n)*each member has a name"):
        actors.start(lab, lambda me: time.sleep(60), members=4)


@pytest.mark.parametrize("other", [None, "billing"])
def test_a_consumer_of_another_group_is_astray(lab, other):
    topic = lab.topic("orders")

    def billing(me):
        for _ in me.records(KafkaConsumer(topic, group_id=other, client_id=me.name, **CONSUMER, **me.client)):
            pass

    team = actors.start(lab, billing, ["anna"], group="billing")
    team.wait(astray=1)
    with refused(r"0 of 1 handled(.|\n)*group_id=me.group"):
        team.wait(handled=1, deadline=1)
    told = team.timeline()
    assert told[told.event == "astray"].detail.tolist() == [{"group": other}]


def test_a_wait_for_an_event_that_nobody_logs_names_those_there_are(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"])
    with refused(r"0 of 1 handeld(.|\n)*there is no handeld yet among started"):
        team.wait(handeld=1, deadline=0.5)


def test_one_that_prints_a_lot(lab, capsys):
    def chatter(me):
        while not me.stopping:
            print("x" * 5000)

    team = actors.start(lab, chatter, ["anna"])
    time.sleep(1)
    team.stop()
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) < 60
    assert re.fullmatch(r"\.\.\. and [\d,]+ lines more: output\(name\)", shown[20])
    kept = team.output("anna").splitlines()
    assert len(kept) == 1000
    assert kept[-1] == "... after 1,000 lines: not kept"
    assert {len(line) for line in kept[:-1]} == {1000}


def test_killing_twice(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"])
    team.kill("anna")
    for act in (team.kill, team.pause, team.resume, team.stop):
        with refused("anna does not run(.|\n)*anna killed"):
            act("anna")
    with refused("zoe does not run(.|\n)*there are anna(.|\n)*take one of these"):
        team.kill("zoe")
    with refused("zoe does not run"):
        team.wait(handled=1, member="zoe")


def test_stopping_one_that_is_paused(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"])
    team.pause("anna")
    with refused("anna is paused"):
        team.stop()


def test_a_name_twice(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"])
    with refused("anna runs already"):
        team.add("anna")


def test_a_function_that_cannot_leave_the_notebook(lab):
    def billing(me):
        KafkaConsumer(**lab.client)

    with refused("billing cannot be sent to another process(.|\n)*me.client"):
        actors.start(lab, billing, ["anna"])


def test_something_else_than_a_function(lab):
    with refused("'billing' is no function"):
        actors.start(lab, "billing", ["anna"])


def test_a_function_that_does_not_take_me(lab):
    def make():
        return lambda me: time.sleep(60)

    with refused("make cannot be called with me alone: too many positional arguments(.|\n)*not make"):
        actors.start(lab, make, ["anna"])
    team = actors.start(lab, make(), ["anna"], group="billing")
    with refused("make cannot be called with me alone"):
        team.add("ben", function=make)


def test_a_dead_broker_is_said_in_time(lab):
    elsewhere = SimpleNamespace(name=str, group=str, client={"bootstrap_servers": "127.0.0.1:9"}, at_close=lab.at_close)
    team = actors.start(elsewhere, lambda me: time.sleep(60), ["anna"], group="billing")
    with refused("the coordinator does not answer"):
        team.wait(assigned=1, deadline=1)


def test_on_windows_it_is_said(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with refused("Actors need Linux or macOS"):
        kernel_side.link()


# ---- nothing outlives the kernel -----------------------------------------------------------------------------------

IN_A_KERNEL = """
import re
import time
from types import SimpleNamespace
from helpers import actors
lab = SimpleNamespace(name=str, group=str, client={}, at_close=[])
def sleeper(me):
    while True:
        time.sleep(60)
def deaf(me):  # no other thread of this process gets a turn
    me.log("begins")
    re.match("(a+)+$", "a" * 40 + "b")
team = actors.start(lab, sleeper, ["runs", "stands still"])
team.pause("stands still")
team.add("hears nothing", function=deaf)
team.wait(begins=1, deadline=20)
print(team.link.guard.pid, *(process.pid for process in team.processes), actors.folder())
"""


def gone(*processes):
    """Waits until the processes have ended, at most 5 s."""
    wait_until(lambda: not any(alive(process) for process in processes), "the processes to end", deadline=5)


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def kernel():
    """A Jupyter kernel with a running, a paused and a deaf member: (manager, run, guard and members, folder)."""
    manager = CourseKernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(code):
        """(the reply's content, what was printed) of a cell."""
        messages = []
        reply = client.execute_interactive(code, timeout=30, output_hook=lambda message: messages.append(message))
        return reply["content"], "".join(message["content"].get("text", "") for message in messages)

    try:
        *pids, folder = run(IN_A_KERNEL)[1].split()
        processes = [psutil.Process(int(pid)) for pid in pids]
        wait_until(lambda: processes[2].status() == psutil.STATUS_STOPPED, "the pause")
        assert all(alive(process) for process in processes)
        yield manager, run, processes, Path(folder)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("end", ["kill -9", "closed"])
def test_nothing_outlives_the_kernel(kernel, end):
    manager, _, processes, folder = kernel
    assert folder.is_dir()
    assert not list(folder.iterdir())
    if end == "kill -9":
        os.kill(manager.provisioner.process.pid, signal.SIGKILL)
    else:
        manager.shutdown_kernel()
    gone(*processes)
    wait_until(lambda: not folder.parent.exists(), "the folder and the logs to be deleted", deadline=1)


def test_no_member_outlives_an_interrupted_cell_but_an_ordinary_error(kernel):
    manager, run, processes, _ = kernel
    assert run("1 / 0")[0]["ename"] == "ZeroDivisionError"
    assert run("pass")[0]["status"] == "ok"
    assert all(alive(process) for process in processes)
    run("over = actors.start(lab, lambda me: None, ['anna'], group='over'); over.wait(returned=1, deadline=20)")
    threading.Timer(1, manager.interrupt_kernel).start()
    reply, shown = run("team.wait(handled=1, deadline=60)")
    assert reply["ename"] == "KeyboardInterrupt"
    said = "All members of this notebook were ended."
    assert said + " Run again from the cell that started them (actors.start, shop.start) on.\n" in shown
    gone(*processes[1:])
    assert run("print(team.timeline().event.tolist()[-3:])")[1] == "['killed', 'killed', 'killed']\n"
    for call in ("wait(handled=1)", "add('ben')", "kill('runs')"):
        assert run(f"team.{call}")[0]["evalue"].startswith(said), call
    assert run("over.add('ben')")[0]["status"] == "ok"  # nobody of this team was ended
    assert run("team = actors.start(lab, sleeper, ['anna']); team.add('ben')")[0]["status"] == "ok"
    manager.interrupt_kernel()  # no cell runs, and so nothing ends
    assert run("print(len(team._running()))")[1] == "2\n"


def test_members_die_with_the_guard_and_the_next_start_makes_a_new_one(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["runs", "stands still"])
    team.pause("stands still")
    processes = [psutil.Process(process.pid) for process in team.processes]
    os.kill(team.link.guard.pid, signal.SIGKILL)
    gone(processes[0])
    with refused("Nobody is left to wait for(.|\n)*runs killed; stands still killed"):
        team.wait(handled=1)
    gone(processes[1])
    again = actors.start(lab, lambda me: me.log("hello"), ["anna"])
    again.wait(hello=1, deadline=20)
    assert not team.link.folder.exists()


def test_members_are_out_of_reach_of_ctrl_c(lab):
    team = actors.start(lab, lambda me: time.sleep(60), ["anna"])
    assert os.getsid(team.processes[0].pid) == team.link.guard.pid != os.getsid(0)


# ---- the log -------------------------------------------------------------------------------------------------------


def test_a_line_that_was_cut_is_left_out_and_one_without_an_end_waits(tmp_path):
    path = tmp_path / "log"
    write = log.Log(path)
    write("one")
    os.write(write.file, b'\n{"t": 1, "ev')
    with open(path, "rb") as file:
        assert [event["event"] for event in log.read(file)] == ["one"]
        write("two")
        os.write(write.file, b'{"t": 2, "event": "three"}')
        assert [event["event"] for event in log.read(file)] == ["two"]
        os.write(write.file, b"\n")
        assert [event["event"] for event in log.read(file)] == ["three"]


# ---- how fast ------------------------------------------------------------------------------------------------------


def test_a_member_after_the_first_starts_within_half_a_second(lab):
    took = []
    team = actors.start(lab, lambda me: me.log("begins"), ["first"])
    for n in range(5):
        start = time.monotonic()
        team.add(f"member {n}")
        team.wait(begins=1, member=f"member {n}", deadline=20)
        took.append(time.monotonic() - start)
    assert sorted(took)[2] < 0.5


def test_ten_members_run_and_need_little_memory(lab):
    topic = lab.topic("orders", partitions=10)
    team = actors.start(lab, reader(topic), [f"member {n}" for n in range(10)], group="billing")
    team.wait(assigned=10, deadline=20)
    assert {len(process.owned) for process in team.processes} == {1}
    own = [psutil.Process(process.pid).memory_full_info().uss / 2**20 for process in team.processes]
    assert max(own) < 30  # MiB that only this process has


def test_topic_partitions_are_logged_by_topic():
    events = []
    places = [TopicPartition("b", 1), TopicPartition("a", 2), TopicPartition("b", 0)]
    importlib.import_module("helpers.actors.consumer_events").log_partitions(
        lambda event, **fields: events.append((event, fields)), "assigned", places
    )
    assert events == [
        ("assigned", {"topic": "a", "partitions": [2]}),
        ("assigned", {"topic": "b", "partitions": [0, 1]}),
    ]
