"""Exercises: nothing, the reference answer, each wrong answer, code that raises, and a stopped broker."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import broker
from helpers.practice import chapters, session
from helpers.practice.broker_state import send
from helpers.practice.chapters import consumers, first, groups, partitions
from helpers.practice.exercise import Incorrect, NotAttempted
from tests.unit import SOON
from tests.unit.exercises import OTHERS, called_answer, failures, outcome, run


@pytest.fixture(scope="module", autouse=True)
def home(module_home):
    """One broker for all exercises; while no-loss has it down, nobody else's tests take its port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(broker.embedded.FIRST_PORT, 1, 21092)
        patch.setattr(broker.embedded, "FIRST_CONTROLLER_PORT", 21192)
        yield module_home


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # producers that learners do not close
@pytest.mark.parametrize("exercise", OTHERS, ids=lambda exercise: exercise.id)
def test_each_answer_has_its_outcome(exercise, lab_for):
    assert list(failures(exercise, lab_for(exercise))) == []


def test_a_result_in_place_of_the_function_is_told_so(lab_for):
    [exercise] = [exercise for exercise in chapters.EXERCISES if exercise.id == "enough-partitions"]
    found = session.examine(exercise, lab_for(exercise), [4])
    assert "partitions_needed is 4: hand over the function itself" in found.text(exercise.id)
    found = session.examine(exercise, lab_for(exercise), [...])
    assert "partitions_needed: still to be written" in found.text(exercise.id)


def test_a_partition_with_nothing_so_late_may_be_paused(lab_for):
    exercise, lists = consumers.SINCE, "assign(list(found))"
    both = "assign(places); consumer.pause(*(place for place in places if place not in found))"
    found = outcome(exercise, lab_for(exercise), exercise.reference.replace(lists, both))
    assert (found.kind, lists in exercise.reference) == ("correct", True), found.text("since")


def test_an_error_about_the_none_of_a_partition_with_nothing_so_late_has_advice(lab_for):
    exercise, guard = consumers.SINCE, " for place, one in found.items() if one}"
    assert guard in exercise.reference
    found = outcome(exercise, lab_for(exercise), exercise.reference.replace(guard, " for place, one in found.items()}"))
    assert (found.kind, "offsets_for_times gives None" in found.text("since")) == (
        "your code raised AttributeError",
        True,
    )
    found = outcome(exercise, lab_for(exercise), exercise.reference.replace(guard, " for place in found['a']}"))
    assert (found.kind, "try:" in found.text("since")) == ("your code raised KeyError", False)


def test_one_commit_at_the_end_is_at_least_once_and_told_what_is_better(lab_for):
    exercise, each = consumers.AT_LEAST_ONCE, "        consumer.commit()"
    for source, again in [
        (exercise.reference, "1 handled a second time"),
        (exercise.reference.replace(each, each[4:]), "8 handled a second time (with a commit after each record: 1)"),
    ]:
        found = outcome(exercise, lab_for(exercise), source)
        assert (found.kind, found.lines[0][1].endswith(again)) == ("correct", True), found.text("at-least-once")


def test_a_tombstone_of_a_user_without_a_balance_asks_for_a_guard(lab_for):
    exercise = consumers.REPLAY
    found = outcome(exercise, lab_for(exercise), exercise.reference.replace("state.pop(user, None)", "del state[user]"))
    assert (found.kind, found.lines[0]) == ("your code raised KeyError", ("message", "'hal'"))
    assert found.lines[-1] == ("try", consumers.TOMBSTONE)


def test_partitions_a_record_of_an_old_producer_may_be_followed_by_a_newer_one(lab_for):
    exercise = partitions.ADD_PARTITION
    lab = lab_for(exercise)
    first_try = outcome(exercise, lab, exercise.wrong["an-old-producer"][0])
    send(lab, lab.name("members"), [{"key": b"dan", "value": b"moved"}])
    assert [first_try.kind, session.examine(exercise, lab, []).kind] == ["incorrect", "correct"]


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
