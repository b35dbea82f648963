"""Three requests of Kafka's protocol, byte by byte, for what no client offers. https://kafka.apache.org/protocol"""

import socket
import struct

METADATA, API_VERSIONS, UNREGISTER_BROKER = 3, 18, 64
SUCCESS, NOT_REGISTERED = 0, 102
CORRELATION_ID, NO_CLIENT_ID, NO_TAGS, NO_TOPICS = 1, -1, b"\0", b"\0\0\0\0"


def answers(port, seconds=4):
    """Whether a Kafka broker replies on this port: to ApiVersions, the first request of every client."""
    try:
        return bool(_ask(port, _header(API_VERSIONS), seconds))
    except OSError:
        return False


def known_brokers(port, seconds=4):
    """How many live brokers the broker on this port would name to a client; 0 when it does not reply."""
    try:
        answer = _ask(port, _header(METADATA, version=1) + NO_TOPICS, seconds)
    except OSError:
        return 0
    _, brokers = struct.unpack_from(">ii", answer)  # correlation id, length of the first list
    return brokers


def unregister(controller_port, node_id, seconds=10):
    """Tells a controller to forget a broker (KIP-746); returns whether it has. False: it is not active yet.

    Raises TimeoutError when it does not reply in time. It may do so later: who asks again may unregister a new broker.
    """
    request = _header(UNREGISTER_BROKER) + NO_TAGS + struct.pack(">i", node_id) + NO_TAGS
    try:
        answer = _ask(controller_port, request, seconds)
    except ConnectionError:
        return False
    _, _, _, error = struct.unpack_from(">icih", answer)  # correlation id, no tags, throttle time, error code
    return error in (SUCCESS, NOT_REGISTERED)


def _header(api, version=0):
    """The header of a request."""
    return struct.pack(">hhih", api, version, CORRELATION_ID, NO_CLIENT_ID)


def _ask(port, request, seconds):
    """The answer to a request. Raises OSError when there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        reader = connection.makefile("rb")
        [length] = struct.unpack(">i", _exactly(reader, 4))
        return _exactly(reader, length)


def _exactly(reader, count):
    """So many bytes. Raises ConnectionError when the other side ends before."""
    found = reader.read(count)
    if len(found) < count:
        raise ConnectionError("the connection ended")
    return found
