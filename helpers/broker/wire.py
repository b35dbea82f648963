"""Two requests of Kafka's protocol, byte by byte, for what no client offers. https://kafka.apache.org/protocol"""

import socket
import struct

API_VERSIONS, UNREGISTER_BROKER = 18, 64
SUCCESS, NOT_REGISTERED = 0, 102
CORRELATION_ID, NO_CLIENT_ID, NO_TAGS = 1, -1, b"\0"


def answers(port, seconds=4):
    """Whether a Kafka broker replies on this port: to ApiVersions, the first request of every client."""
    try:
        return bool(_ask(port, _header(API_VERSIONS), seconds))
    except OSError:
        return False


def unregister(controller_port, node_id, seconds=4):
    """Tells a controller to forget a broker (KIP-746); returns whether it has. False: it is not active yet."""
    request = _header(UNREGISTER_BROKER) + NO_TAGS + struct.pack(">i", node_id) + NO_TAGS
    try:
        answer = _ask(controller_port, request, seconds)
    except OSError:
        return False
    _, _, _, error = struct.unpack_from(">icih", answer)  # correlation id, no tags, throttle time, error code
    return error in (SUCCESS, NOT_REGISTERED)


def _header(api):
    """The header of a request in its version 0."""
    return struct.pack(">hhih", api, 0, CORRELATION_ID, NO_CLIENT_ID)


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
