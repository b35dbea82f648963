"""What a consumer does in its group, as events of a log.

joining         asks to join, and is no member yet: generation 0
assigned        may read these partitions now
joined          is a member, of this generation, and owns these partitions; rejoined: after a later rebalance
revoked, lost   must give these partitions up; lost: has been thrown out, and may not even commit
committed       the coordinator has accepted the offset; refused: it has not
"""

import inspect
from itertools import groupby

from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import KafkaError


def follow(log, consumer):
    """Logs the events of a consumer from now on. A rebalance listener that it has is called as before.

    kafka-python offers a listener and nothing else, so three methods of its coordinator (3.0.12) are wrapped.
    """
    for topic in consumer.subscription() or ():
        consumer.partitions_for_topic(topic)  # else it may join before it knows them, and assign nothing, for minutes
    consumer._subscription.rebalance_listener = Listener(log, consumer._subscription.rebalance_listener)
    coordinator, generation = consumer._coordinator, 0
    join, joined, commit = (
        coordinator._do_join_and_sync_async,
        coordinator._on_join_complete_async,
        coordinator._send_offset_commit_request,
    )

    async def logged_join():
        nonlocal generation
        coordinator.request_rejoin()  # else a leader that rejoins for new partitions forgets it, once a poll() is over
        if consumer.group_metadata().generation_id < 0 and generation is not None:
            log("joining", generation=0)
            generation = None
        return await join()

    async def logged_joined(new_generation, *rest):
        nonlocal generation
        await joined(new_generation, *rest)
        owned = sorted(consumer.assignment())
        log_partitions(log, "rejoined" if generation else "joined", owned, generation=new_generation)
        generation = new_generation

    async def logged_commit(offsets):
        try:
            answer = await commit(offsets)
        except KafkaError as error:
            log_offsets(log, "refused", offsets, error=type(error).__name__)
            raise
        log_offsets(log, "committed", offsets)
        return answer

    coordinator._do_join_and_sync_async = logged_join
    coordinator._on_join_complete_async = logged_joined
    coordinator._send_offset_commit_request = logged_commit


class Listener(AsyncConsumerRebalanceListener):
    """Logs, and passes on to the learner's own listener, whose methods may be async or not."""

    def __init__(self, log, learners):
        self.log, self.learners = log, learners

    async def on_partitions_assigned(self, assigned):
        log_partitions(self.log, "assigned", assigned)
        await self._pass_on("on_partitions_assigned", assigned)

    async def on_partitions_revoked(self, revoked):
        await self._pass_on("on_partitions_revoked", revoked)  # the owner to the last line of it
        if revoked:
            log_partitions(self.log, "revoked", revoked)

    async def on_partitions_lost(self, lost):
        log_partitions(self.log, "lost", lost)
        await self._pass_on("on_partitions_lost", lost)

    async def _pass_on(self, method, partitions):
        if self.learners:
            done = getattr(self.learners, method)(partitions)
            if inspect.isawaitable(done):
                await done


def log_partitions(log, event, places, **fields):
    """One event for each topic; one without a topic if there are no partitions."""
    if not places:
        log(event, partitions=[], **fields)
    for topic, mine in groupby(sorted(places), lambda place: place.topic):
        log(event, topic=topic, partitions=[place.partition for place in mine], **fields)


def log_offsets(log, event, offsets, **fields):
    """One event for each partition."""
    for place, committed in sorted(offsets.items()):
        log(event, topic=place.topic, partitions=[place.partition], offset=committed.offset, **fields)
