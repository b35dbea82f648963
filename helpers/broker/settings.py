"""server.properties of an embedded broker. Defaults that a course cannot live with are changed, each for a reason."""

INTERNAL_TOPICS = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")


def server_properties(node_id, ports, controller_ports):
    """The settings of one node as a dict; ports and controller_ports map every node's id to its port."""
    brokers = len(ports)
    settings = {
        "process.roles": "broker,controller",
        "node.id": node_id,
        "controller.quorum.voters": ",".join(f"{i}@127.0.0.1:{port}" for i, port in controller_ports.items()),
        "listeners": f"PLAINTEXT://127.0.0.1:{ports[node_id]},CONTROLLER://127.0.0.1:{controller_ports[node_id]}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports[node_id]}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": "data",  # relative to the node's folder: any path works, spaces and Korean letters too
        # a typo in a topic's name is an error, not a new topic
        "auto.create.topics.enable": "false",
        # a group's first member need not wait 3 s for others, and may be noticed dead after 1 s
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "group.consumer.heartbeat.interval.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 500,
        "group.consumer.min.session.timeout.ms": 1000,
        "group.consumer.session.timeout.ms": 12000,
        # a dead broker is noticed, and a restarted one let in again, within seconds
        "replica.lag.time.max.ms": 3000,
        # retention and compaction can be watched: they look every second, and delete after one
        "log.retention.check.interval.ms": 1000,
        "log.initial.task.delay.ms": 500,
        "log.segment.delete.delay.ms": 1000,
        "log.cleaner.backoff.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,  # 128 MiB of heap by default
        # a transaction left open is aborted soon
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # a laptop's share
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 1,
        "offsets.topic.num.partitions": 5,
        "transaction.state.log.num.partitions": 5,
        "share.coordinator.state.topic.num.partitions": 5,
    }
    if brokers == 1:
        # a busy machine may stand still for seconds: a broker that is taken for dead meanwhile breaks its clients
        settings |= {"broker.session.timeout.ms": 9000, "broker.heartbeat.interval.ms": 100}
    else:
        settings |= {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}
    for topic in INTERNAL_TOPICS:
        settings[f"{topic}.replication.factor"] = min(3, brokers)
    settings["transaction.state.log.min.isr"] = settings["share.coordinator.state.topic.min.isr"] = (
        1 if brokers == 1 else 2
    )
    return settings


def as_properties(settings):
    """The text of a Java properties file."""
    return "".join(f"{key}={value}\n" for key, value in settings.items())
