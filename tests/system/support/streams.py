# SPDX-License-Identifier: MIT
"""Bytes through sockets: sending in the background, reading to the end, resets, exchanges."""

import fcntl
import hashlib
import random
import socket
import struct
import termios
import threading
import time

MB = 1 << 20
KB300 = 300_000


def digest(data):
    return hashlib.sha256(data).hexdigest()


def random_bytes(seed, size):
    return random.Random(seed).randbytes(size)


class Background(threading.Thread):
    """A thread whose exception comes out of result()."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.function(*self.args)
        except BaseException as error:  # handed to whoever asks for the result
            self.error = error

    def result(self, within=60):
        self.join(within)
        assert not self.is_alive(), f"{self.function.__name__} did not end within {within} s"
        if self.error:
            raise self.error
        return self.value


def send(sock, data, then_end=True):
    sock.sendall(data)
    if then_end:
        sock.shutdown(socket.SHUT_WR)


def send_in_background(sock, data, then_end=True):
    return Background(send, sock, data, then_end)


def read_to_end(sock, within=30):
    """Every byte up to the other side's clean end."""
    sock.settimeout(within)
    parts = []
    while part := sock.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def read_exactly(sock, size, within=30):
    sock.settimeout(within)
    parts = []
    while size > 0:
        part = sock.recv(min(size, 1 << 18))
        assert part, f"the stream ended {size} bytes early"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def round_trip(client, message=b"x", within=10):
    """Through to a backend that echoes, and back."""
    client.sendall(message)
    assert read_exactly(client, len(message), within) == message


def outcome(sock, within=30):
    """Reads until it is over: (bytes, "end") or (bytes, "reset")."""
    sock.settimeout(within)
    parts = []
    while True:
        try:
            part = sock.recv(1 << 18)
        except ConnectionResetError:
            return b"".join(parts), "reset"
        if not part:
            return b"".join(parts), "end"
        parts.append(part)


def is_silent(sock, seconds):
    """Whether neither bytes nor an end arrive for that long."""
    sock.settimeout(seconds)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    except ConnectionError:
        pass
    return False


def reset(sock):
    """Closes with RST rather than FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def unacknowledged(sock):
    """Bytes that the other kernel, or with a UNIX socket the proxy, has not taken yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def flow(sock, seed, size):
    """Sends a random stream in random pieces with random pauses, then ends."""
    rng = random.Random(seed)
    data = rng.randbytes(size)
    at = 0
    while at < size:
        step = rng.choice((1, 17, 1448, 4096, 65536, 300_001, 1_000_003))
        sock.sendall(data[at : at + step])
        at += step
        if rng.random() < 0.15:
            time.sleep(rng.random() * 0.02)
    sock.shutdown(socket.SHUT_WR)
    return digest(data)


def sip(sock, seed):
    """Reads to the end in random pieces with random pauses; returns the hash."""
    rng = random.Random(seed)
    hash_ = hashlib.sha256()
    while part := sock.recv(rng.choice((1, 100, 5000, 65536, 1 << 20))):
        hash_.update(part)
        if rng.random() < 0.05:
            time.sleep(rng.random() * 0.01)
    return hash_.hexdigest()


def both_ways(client, backend_connection, size):
    """So many bytes at once in each direction; neither side ends."""
    up, down = random_bytes("up", size), random_bytes("down", size)
    sending = [send_in_background(client, up, then_end=False), send_in_background(backend_connection, down, then_end=False)]
    receiving = Background(read_exactly, client, size, 60)
    assert read_exactly(backend_connection, size, 60) == up
    assert receiving.result() == down
    for one in sending:
        one.result()


def exchange(client, backend_connection, seed=1, size=KB300):
    """
    Both sides send random bytes at once and half-close; the backend's end comes
    only after the client's has reached it.  Everything must arrive exactly.
    """
    up, down = random_bytes((seed, "up").__repr__(), size), random_bytes((seed, "down").__repr__(), size)

    def serve():
        sending = send_in_background(backend_connection, down, then_end=False)
        received = read_to_end(backend_connection)
        sending.result()
        backend_connection.sendall(digest(received).encode())
        backend_connection.shutdown(socket.SHUT_WR)
        return received

    serving = Background(serve)
    sending = send_in_background(client, up)
    received = read_to_end(client)
    sending.result()
    assert serving.result() == up, f"client -> backend was not exact (seed {seed})"
    assert received[:size] == down, f"backend -> client was not exact (seed {seed})"
    assert received[size:] == digest(up).encode(), "what followed the client's end was lost"
