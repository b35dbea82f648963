"""Every exercise: nothing, the reference answer, each wrong answer, code that raises, and a stopped broker."""

import itertools
import linecache
import time
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import broker
from helpers.lab import open_lab
from helpers.practice import chapters, session
from helpers.practice.broker_state import send
from helpers.practice.chapters import consumers, first, groups, partitions, shop_design, shop_sequence
from helpers.practice.exercise import Incorrect, NotAttempted, unindented
from helpers.shop.settings import Settings
from tests.unit import SOON

numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def home(module_home):
    """One broker for all exercises; while no-loss has it down, nobody else's tests take its port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(broker.embedded.FIRST_PORT, 1, 21092)
        patch.setattr(broker.embedded, "FIRST_CONTROLLER_PORT", 21192)
        yield module_home


@pytest.fixture(scope="module")
def lab_for(home):
    """lab_for(exercise) is the one lab, with the names of the exercise's chapter."""
    lab = open_lab("hello")

    def named(exercise):
        lab.prefix = exercise.chapter + "-"
        return lab

    yield named
    lab.close()


def run(source, namespace):
    """Executes an answer as a cell would, so that its lines can be quoted."""
    source, name = unindented(source), f"<cell {next(numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), namespace)


def outcome(exercise, lab, source):
    """The Outcome of an answer, after a fresh start of the exercise."""
    namespace = {"lab": lab}
    exercise.prepare(lab)
    run(exercise.first_line + unindented(exercise.start), namespace)
    run(source, namespace)
    return session.examine(exercise, lab, [namespace[name] for name in exercise.answers])


def called_answer(exercise):
    """The name of the function or class that the checker calls; None if the learner's cell runs by itself."""
    return next(
        (name for name in exercise.answers if f"def {name}" in exercise.start or f"class {name}" in exercise.start),
        None,
    )


def failures(exercise, lab):
    """What is wrong with an exercise, as sentences."""
    expected = {"nothing": ("", "not attempted", ""), "reference": (exercise.reference, "correct", "")}
    expected |= {name: (source, "incorrect", text) for name, (source, text) in exercise.wrong.items()}
    if name := called_answer(exercise):
        source = f'def {name}(*arguments):\n    raise ValueError("spilled tea")'
        expected["raising"] = (source, "your code raised ValueError", "spilled tea")
    for name, (source, kind, text) in expected.items():
        found = outcome(exercise, lab, source)
        if found.kind != kind or text not in found.text(exercise.id):
            yield f"{exercise.id}, {name}: not {kind!r} with {text!r}, but\n{found.text(exercise.id)}"
        if name == "raising" and ("line 2:", 'raise ValueError("spilled tea")') not in [
            (f"{a}:", b) for a, b in found.lines
        ]:
            yield f"{exercise.id}: the learner's line is not quoted in\n{found.text(exercise.id)}"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # producers that learners do not close
@pytest.mark.parametrize("exercise", chapters.EXERCISES, ids=lambda exercise: exercise.id)
def test_each_answer_has_its_outcome(exercise, lab_for):
    assert list(failures(exercise, lab_for(exercise))) == []


def test_an_answer_may_be_mended_without_a_fresh_task(lab_for):
    [exercise] = [exercise for exercise in chapters.EXERCISES if exercise.id == "hand-over"]
    lab, kinds = lab_for(exercise), []
    namespace = {"lab": lab}
    exercise.prepare(lab)
    for source in (exercise.wrong["everything"][0], exercise.reference):
        run(exercise.first_line + unindented(source), namespace)
        kinds.append(session.examine(exercise, lab, [namespace["team"]]).kind)
    assert kinds == ["incorrect", "correct"]


def test_a_result_in_place_of_the_function_is_told_so(lab_for):
    [exercise] = [exercise for exercise in chapters.EXERCISES if exercise.id == "enough-partitions"]
    found = session.examine(exercise, lab_for(exercise), [4])
    assert "partitions_needed is 4: hand over the function itself" in found.text(exercise.id)


def test_a_command_that_is_written_twice_counts_as_well(lab_for):
    exercise = shop_sequence.WRITTEN_TWICE
    crash = ', crash={"service": "order", "point": "after_ack", "type": "payment.pay"}'
    source = shop_sequence.one_order(crash, after='mine.restart("order")\n    mine.settle(30)')
    found = outcome(exercise, lab_for(exercise), source)
    assert (found.kind, "in shop.payment.command" in found.text(exercise.id)) == ("correct", True), found.text("")


def test_partitions_a_record_of_an_old_producer_may_be_followed_by_a_newer_one(lab_for):
    exercise = partitions.ADD_PARTITION
    lab = lab_for(exercise)
    first_try = outcome(exercise, lab, exercise.wrong["an-old-producer"][0])
    send(lab, lab.name("members"), [{"key": b"dan", "value": b"moved"}])
    assert [first_try.kind, session.examine(exercise, lab, []).kind] == ["incorrect", "correct"]


ALONE, ALL_DONE = 'members=["anna"]', "team.wait(handled=10"
MOVES = {
    "kill -9, and a new member": (ALL_DONE, 'team.wait(killed=1, deadline=20); team.add("ben"); team.wait(handled=9'),
    "two from the beginning": (ALONE, 'members=["anna", "ben"]'),
    "one joins": (ALL_DONE, 'team.wait(committed=2, deadline=20); team.add("ben"); team.wait(handled=10'),
}


@pytest.mark.parametrize("move", MOVES)
def test_groups_keep_order_survives_that_partitions_move(move, lab_for):
    lab = lab_for(groups.KEEP_ORDER)
    die = "; consumer.commit(); import os; os.kill(os.getpid(), 9)" if "kill" in move else ""
    source = groups.cashier(groups.PARK + die, groups.KEEP)
    assert MOVES[move][0] in source
    found = outcome(groups.KEEP_ORDER, lab, source.replace(*MOVES[move]))
    assert found.kind == "correct", found.text("keep-order")


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


@pytest.mark.parametrize(
    ("exercise", "name"),
    [(first.READ_AGAIN, "billing"), (consumers.COMMIT_THREE, "three"), (groups.BACK_IN_TIME, "auditors")],
    ids=["billing", "three", "auditors"],
)
def test_a_group_without_the_chapters_name_that_has_committed_is_seen(exercise, name, lab_for):
    lab = lab_for(exercise)
    found = outcome(exercise, lab, exercise.reference.replace(f'lab.name("{name}")', f'"{name}"'))
    assert (found.kind, f"lab.name({name!r})" in found.text(exercise.id)) == ("not attempted", True)


def test_a_consumer_of_an_interrupted_cell_is_told(lab_for):
    lab = lab_for(consumers.LAG_ZERO)
    joins = """
        from kafka import KafkaConsumer
        handled, left = [], KafkaConsumer(topic, group_id=lab.name("clerks"), enable_auto_commit=False, **lab.client)
        left.poll(5000)
    """
    assert "still a member" in outcome(consumers.LAG_ZERO, lab, joins).text("lag-zero")
    assert "still a member" not in outcome(consumers.LAG_ZERO, lab, "").text("lag-zero")


def test_a_dlq_may_be_purged_after_the_replay(lab_for):
    exercise = shop_design.REPLAY_DLQ
    purge = """
        from kafka import TopicPartition
        lab.admin.delete_records({TopicPartition(topic, number): -1 for number in range(6)})
    """
    found = outcome(exercise, lab_for(exercise), unindented(exercise.reference) + "\n" + unindented(purge))
    assert found.kind == "correct", found.text("replay-dlq")


def test_a_relay_that_nobody_has_killed_is_told_from_one_that_left_no_mark(tmp_path):
    settings = Settings(tmp_path, "", crash={"service": "stock", "point": "after_ack", "type": "stock.reserve"})
    assert "nobody has been killed yet" in shop_sequence.advice_on_writing(settings)
    (tmp_path / "crashed-0").touch()
    assert "has left no mark" in shop_sequence.advice_on_writing(settings)


def test_groups_a_plain_number_for_a_time_is_answered(lab_for):
    exercise = groups.BACK_IN_TIME
    source = exercise.reference.replace("OffsetTimestamp(", "(")
    assert "use OffsetTimestamp" in outcome(exercise, lab_for(exercise), source).text("back-in-time")


@pytest.mark.parametrize("exercise", chapters.EXERCISES, ids=lambda exercise: exercise.id)
def test_an_exercise_is_complete(exercise):
    assert exercise.hints
    assert len(exercise.wrong) >= 2
    assert exercise.text.strip().startswith("**")
    namespace = {}
    run(exercise.start, namespace)
    assert set(exercise.answers) <= set(namespace)
    pieces = [piece for _, piece in exercise.wrong.values()]
    assert len(set(pieces)) == len(pieces), "each wrong answer has a message of its own"


def test_every_module_is_a_chapter_and_every_id_is_there_once():
    files = {path.stem for path in Path(chapters.__file__).parent.glob("*.py")} - {"__init__"}
    assert {module.__name__.split(".")[-1] for module in chapters.CHAPTERS} == files
    ids = [exercise.id for exercise in chapters.EXERCISES]
    assert len(ids) == len(set(ids))


def accept_all(lab, *answers):
    return "fine"


def reject_all(lab, *answers):
    raise Incorrect("something", "something else", "something new")


def say_nothing(lab, *answers):
    raise NotAttempted("nothing")


@pytest.mark.parametrize("checker", [accept_all, reject_all, say_nothing])
@pytest.mark.parametrize("id", ["own-name", "wallet"])
def test_a_checker_that_looks_at_nothing_is_found(id, checker, lab_for):
    exercise = session.find(id)
    assert list(failures(replace(exercise, check=checker), lab_for(exercise)))


def test_a_wrong_answer_with_another_exercises_message_is_found(lab_for):
    exercise = session.find("how-many")
    wrong = {"five": ("how_many = 5", "set compression_type")}
    assert len(list(failures(replace(exercise, wrong=wrong), lab_for(exercise)))) == 1


def test_a_start_that_solves_the_exercise_is_found(lab_for):
    exercise = session.find("how-many")
    assert list(failures(replace(exercise, start="how_many = 14"), lab_for(exercise)))


def test_a_stopped_broker_is_said_soon(lab_for):
    """The last test of this module: the broker stays down."""
    broker.stop()
    for exercise in chapters.EXERCISES:
        namespace = {"lab": lab_for(exercise), "topic": "x"}
        if called_answer(exercise) or exercise.answers == ["how_many"]:
            run(exercise.reference, namespace)
        else:
            run(exercise.start, namespace)
        began = time.monotonic()
        found = session.examine(exercise, namespace["lab"], [namespace[name] for name in exercise.answers])
        assert time.monotonic() - began < SOON
        assert found.kind == "broker not ready"
        assert "lab.start_broker()" in found.text(exercise.id)
