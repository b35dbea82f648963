"""The exercises whose answers start processes, in a module of their own: they run beside the others."""

import pytest
from kafka import KafkaConsumer

from helpers import actors
from helpers.practice import session
from helpers.practice.chapters import groups, shop_design, shop_sequence
from helpers.practice.exercise import unindented
from helpers.shop.settings import Settings
from tests.unit.exercises import OF_TEAMS, failures, outcome, run


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # producers that learners do not close
@pytest.mark.parametrize("exercise", OF_TEAMS, ids=lambda exercise: exercise.id)
def test_each_answer_has_its_outcome(exercise, lab_for):
    assert list(failures(exercise, lab_for(exercise))) == []


def test_an_answer_may_be_mended_without_a_fresh_task(lab_for):
    [exercise] = [exercise for exercise in OF_TEAMS if exercise.id == "hand-over"]
    lab, kinds = lab_for(exercise), []
    namespace = {"lab": lab}
    exercise.prepare(lab)
    for source in (exercise.wrong["everything"][0], exercise.reference):
        run(exercise.first_line + unindented(source), namespace)
        kinds.append(session.examine(exercise, lab, [namespace["team"]]).kind)
    assert kinds == ["incorrect", "correct"]


START = "from helpers import shop\nmine = shop.start(lab)"
POOR = """
    mine.charge("eve", 100)
    mine.settle(30)
    mine.order("eve", "p-2")
    mine.settle(30)
"""
RICH = POOR.replace("100)", "10_000)")
COPY = """
    from kafka import KafkaProducer

    [one] = [one for one in mine.read() if dict(one.headers).get("ce_type") == b"shop.balance.deducted.v1"]
    with KafkaProducer(**lab.client) as producer:
        producer.send(one.topic, one.value, one.key, one.headers).get(timeout=10)
    mine.settle(30)
"""
REFUND = """
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(mine.settings.database("balance"))) as db, db:
        db.execute("DELETE FROM ledger WHERE ce_id = 'by hand'")
        values = ("eve", "refund", 2000, {order!r}, "by hand")
        db.execute("INSERT INTO ledger (user, kind, amount, orders, ce_id) VALUES (?, ?, ?, ?, ?)", values)
"""
UNDONE = REFUND.partition("        values")[0]
BACK, TWICE = "money-back", "written-twice"
ONE_SHOP = [  # one step after the other in one shop, and what the checkers say after each
    (START, {BACK: "a shop without an order", TWICE: "a shop without an order"}),
    (POOR, {BACK: "charge more than the price", TWICE: "nobody was killed: shop.start"}),
    (REFUND.format(order="o-0001"), {BACK: "o-0001 is refunded, and nothing was deducted"}),
    (REFUND.format(order="o-0009"), {BACK: "o-0009 is refunded, and no order"}),
    (RICH, {TWICE: "nobody was killed: shop.start"}),
    (COPY, {TWICE: "and no relay has sent it twice"}),
    (REFUND.format(order="o-0002"), {BACK: "o-0002 is refunded, and COMPLETED"}),
    (UNDONE, {BACK: "the step after the deduction has to say no"}),
    (shop_sequence.one_order(shop_sequence.ACKNOWLEDGED, after=shop_sequence.KILLED), {TWICE: "lets it write again"}),
    (START.replace("mine", "newer"), {TWICE: "start no other after it"}),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_shop_that_is_not_yet_the_answer_is_told_what_is_missing(lab_for):
    lab = lab_for(session.find(BACK))
    namespace = {"lab": lab}
    for source, pieces in ONE_SHOP:
        run(source, namespace)
        for id, piece in pieces.items():
            found = session.examine(session.find(id), lab, [namespace["mine"]])
            assert (found.kind, piece in found.text(id)) == ("incorrect", True), found.text(id)


def test_a_command_that_is_written_twice_counts_as_well(lab_for):
    exercise = shop_sequence.WRITTEN_TWICE
    crash = ', crash={"service": "order", "point": "after_ack", "type": "payment.pay"}'
    source = shop_sequence.one_order(crash, after='mine.restart("order")\n    mine.settle(30)')
    found = outcome(exercise, lab_for(exercise), source)
    assert (found.kind, "in shop.payment.command" in found.text(exercise.id)) == ("correct", True), found.text("")


ALONE, ALL_DONE = 'members=["anna"]', "team.wait(handled=10"
MOVES = {
    "kill -9, and a new member": (ALL_DONE, 'team.wait(killed=1, deadline=20); team.add("ben"); team.wait(handled=9'),
    "two from the beginning": (ALONE, 'members=["anna", "ben"]'),
    "one crashes, and a new one": (ALL_DONE, 'team.wait(crashed=1, deadline=20); team.add("ben"); team.wait(handled=9'),
    "one joins": (ALL_DONE, 'team.wait(committed=2, deadline=20); team.add("ben"); team.wait(handled=10'),
}


@pytest.mark.parametrize("move", MOVES)
def test_groups_keep_order_survives_that_partitions_move(move, lab_for):
    lab = lab_for(groups.KEEP_ORDER)
    ends = {"kill": "os.kill(os.getpid(), 9)", "one crashes": "raise LookupError"}
    end = next((end for kind, end in ends.items() if kind in move), "")
    die = f"\n{' ' * 20}if record.key == b'yan': consumer.commit(); import os; {end}" if end else ""
    source = groups.cashier(groups.PARK + die, groups.KEEP)
    assert MOVES[move][0] in source
    found = outcome(groups.KEEP_ORDER, lab, source.replace(*MOVES[move]))
    assert found.kind == "correct", found.text("keep-order")


def test_groups_keep_order_may_be_checked_while_the_group_works(lab_for):
    lab = lab_for(groups.KEEP_ORDER)
    done = """team.wait(handled=10, deadline=20)
        team.stop()"""
    assert done in groups.KEEP_ORDER.reference
    at_work = groups.KEEP_ORDER.reference.replace(done, "team.wait(handled=1, deadline=20)")
    found = outcome(groups.KEEP_ORDER, lab, at_work)
    assert found.kind == "correct", found.text("keep-order")


WHEN_ASSIGNED = """
    from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener


    class Remember(AsyncConsumerRebalanceListener):
        def __init__(self, waiting, client):
            self.waiting, self.client = waiting, client

        async def on_partitions_revoked(self, revoked): ...

        async def on_partitions_assigned(self, assigned):
            self.waiting.update(users_aside(self.client))


"""


def test_groups_keep_order_may_read_aside_when_partitions_come_and_be_checked_twice(lab_for):
    lab = lab_for(groups.KEEP_ORDER)
    listener = "set(); consumer.subscribe([topic], listener=Remember(waiting, me.client))"
    source = groups.cashier(groups.PARK_IN_MEMORY, groups.KEEP_IN_MEMORY, waiting=listener)
    source = unindented(WHEN_ASSIGNED) + "\n" + unindented(source.replace("KafkaConsumer(topic, ", "KafkaConsumer("))
    namespace = {"lab": lab}
    groups.KEEP_ORDER.prepare(lab)
    run(groups.KEEP_ORDER.first_line + source, namespace)
    for _ in range(2):
        found = session.examine(groups.KEEP_ORDER, lab, [namespace["team"]])
        assert found.kind == "correct", found.text("keep-order")
    assert namespace["team"].running() == []


LOOP = "me.records(consumer)"
NEW_ONES = {
    "crashed: emil": f"{LOOP} if me.name != 'emil' else 1 / 0",
    "emil was asked to end, and still runs": f"{LOOP} if me.name != 'emil' else consumer",
    "dora gets no partition of charges": f"{LOOP} if me.name == 'anna' else ()",
    "neither settled nor aside: amy3-0, bob7-0": (
        f"__import__('itertools').takewhile(lambda one: me.name == 'anna', {LOOP})"
    ),
}


@pytest.mark.parametrize("seen", NEW_ONES)
def test_groups_keep_order_says_what_became_of_those_whom_the_check_has_started(seen, lab_for):
    assert LOOP in groups.KEEP_ORDER.reference
    source = groups.KEEP_ORDER.reference.replace(LOOP, NEW_ONES[seen])
    found = outcome(groups.KEEP_ORDER, lab_for(groups.KEEP_ORDER), source)
    assert (found.kind, seen in found.text("")) == ("incorrect", True), found.text("")


def test_groups_keep_order_does_not_take_a_dead_member_for_one_of_its_own(lab_for, monkeypatch):
    monkeypatch.setattr(groups, "START", 3)
    source = groups.KEEP_ORDER.reference.replace("team.stop()", "team.wait(committed=10); team.kill()")
    assert '"session_timeout_ms": 6000' in source
    source = source.replace('"session_timeout_ms": 6000', '"session_timeout_ms": 20_000')
    found = outcome(groups.KEEP_ORDER, lab_for(groups.KEEP_ORDER), source)
    assert (found.kind, "keeps its place until its session is over" in found.text("")) == ("incorrect", True), (
        found.text("")
    )


def test_groups_keep_order_names_a_crash(lab_for):
    lab = lab_for(groups.KEEP_ORDER)
    done = "team.wait(handled=10, deadline=20)"
    source = groups.KEEP_ORDER.reference.replace("except ValueError", "except KeyError")
    source = source.replace(done, "from helpers.lab import wait_until; wait_until(lambda: not team.running(), 'it')")
    found = outcome(groups.KEEP_ORDER, lab, source.replace("team.stop()", ""))
    assert (found.kind, "if a member has crashed, team.output" in found.text("")) == ("incorrect", True), found.text("")


@pytest.mark.parametrize(
    "id", ["keep-order", "both-topics", "one-idle", "take-over", "sooner", "steady", "hand-over", "ghost"]
)
def test_groups_a_task_ends_members_before_its_topics_are_new(id, lab_for, monkeypatch):
    exercise = session.find(id)
    lab, topics = lab_for(exercise), []
    exercise.prepare(lab)
    team = actors.start(lab, reading(lab.name(exercise.topic)), members=["zoe"], group=exercise.topic)
    team.wait(joined=1, deadline=20)
    new_topic = lab.topic
    monkeypatch.setattr(lab, "topic", lambda *name, **more: topics.append(team.running()) or new_topic(*name, **more))
    exercise.prepare(lab)
    assert set(map(tuple, topics)) == {()}


def reading(topic):
    """A member that reads a topic."""

    def zoe(me):
        for _ in me.records(KafkaConsumer(topic, group_id=me.group, heartbeat_interval_ms=100, **me.client)):
            pass

    return zoe


NAMED = "client_id=me.name, "


@pytest.mark.parametrize("name", [NAMED, ""], ids=["named", "unnamed"])
def test_groups_take_over_may_be_checked_at_once(name, lab_for):
    source = groups.guards('team.kill("ben")').replace(NAMED, name)
    found = outcome(groups.TAKE_OVER, lab_for(groups.TAKE_OVER), source)
    assert found.kind == "correct", found.text("take-over")


def test_groups_one_idle_may_be_checked_at_once(lab_for):
    lab = lab_for(groups.ONE_IDLE)
    source = groups.ONE_IDLE.reference.replace("team.wait(assigned=3, joined=4, deadline=20)", "")
    for settings in (source, source.replace(NAMED, ""), source.replace(groups.FAST, '"auto_offset_reset": "earliest"')):
        found = outcome(groups.ONE_IDLE, lab, settings)
        assert found.kind == "correct", found.text("one-idle")


def test_groups_a_group_without_the_chapters_name_is_seen(lab_for):
    lab = lab_for(groups.ONE_IDLE)
    found = outcome(
        groups.ONE_IDLE, lab, groups.ONE_IDLE.reference.replace("me.group", '"desk"').replace("team.wait", "#")
    )
    assert (found.kind, "group_id=me.group" in found.text("one-idle")) == ("incorrect", True), found.text("one-idle")


def test_a_dlq_may_be_purged_after_the_replay(lab_for):
    exercise = shop_design.REPLAY_DLQ
    source = unindented(exercise.reference) + "\n" + unindented(shop_design.PURGE)
    found = outcome(exercise, lab_for(exercise), source)
    assert found.kind == "correct", found.text("replay-dlq")


CRASH = {"service": "stock", "point": "after_ack", "type": "stock.reserve"}


@pytest.mark.parametrize("crash", [CRASH, [CRASH]], ids=["a crash", "a list"])
def test_a_relay_that_nobody_has_killed_is_told_from_one_that_left_no_mark(tmp_path, crash):
    settings = Settings(tmp_path, "", crash=crash)
    assert "nobody has been killed yet" in shop_sequence.advice_on_writing(settings)
    (tmp_path / "crashed-0").touch()
    assert "has left no mark" in shop_sequence.advice_on_writing(settings)


def test_groups_a_plain_number_for_a_time_is_answered(lab_for):
    exercise = groups.BACK_IN_TIME
    source = exercise.reference.replace("OffsetTimestamp(", "(")
    assert "use OffsetTimestamp" in outcome(exercise, lab_for(exercise), source).text("back-in-time")
