# SPDX-License-Identifier: MIT
"""A backend killed in the middle of transfers: those are aborted, and later clients get the one started anew."""

import signal
import sys

import pytest

from support.proc import wait_until
from support.streams import MB, outcome, random_bytes, read_exactly, read_to_end, send_in_background

# The first byte says what becomes of a connection: "e" is answered with what it sends, "d" is
# sent zeroes without end, "u" is not read from.
SERVER = """
import os, socket, sys, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(128)
print("port", listener.getsockname()[1], file=sys.stderr, flush=True)
def serve(connection):
    kind = connection.recv(1)
    while kind == b"d":
        connection.sendall(bytes(65536))
    if kind == b"u":
        threading.Event().wait()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def start_server(stage, port=0):
    server = stage.helper(sys.executable, "-c", SERVER, str(port))
    return server, int(server.wait_log("port")[0].split()[1])


def echoed(stage, proxy, data):
    client = stage.connect(proxy.listening[0])
    client.sendall(b"e")
    sending = send_in_background(client, data)
    received = read_to_end(client)
    sending.result()
    return received == data


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_killed_and_started_again(stage, listen, data_path):
    server, port = start_server(stage)
    address = stage.front(listen)
    proxy = stage.proxy(*data_path, "--access-log", address, f"127.0.0.1:{port}")
    uploads, downloads = ([stage.connect(proxy.listening[0]) for _ in range(5)] for _ in range(2))
    uploading = [send_in_background(client, b"u" + bytes(64 * MB)) for client in uploads]
    for client in downloads:
        client.sendall(b"dunread")
        read_exactly(client, 2 * MB)
    server.signal(signal.SIGKILL)
    server.wait()
    late = [stage.connect(proxy.listening[0]) for _ in range(3)]
    told = [outcome(client)[1] for client in uploads + downloads]
    for number, sending in enumerate(uploading):
        with pytest.raises(ConnectionError) as raised:
            sending.result()
        if raised.type is ConnectionResetError:
            told[number] = "reset"  # the kernel tells it once, to whichever call is there first
    assert listen == "unix" or told == ["reset"] * 10, "a UNIX client cannot be sent a reset"
    aborted = wait_until(lambda: len(lines := proxy.grep('reason="backend')) == 10 and lines, "ten are aborted")
    assert all("reset" in line or "gone" in line for line in aborted)

    start_server(stage, port)
    data = random_bytes(stage.seed, MB)
    for client in late:
        client.sendall(b"e")
        sending = send_in_background(client, data)
        assert read_to_end(client) == data
        sending.result()
    assert echoed(stage, proxy, data)
    stage.close_sockets()
    proxy.wait_released()
