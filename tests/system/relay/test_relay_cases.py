# SPDX-License-Identifier: MIT
"""
A table of connections: what one side does, what the other must see.  Each row
is run in both directions, by copying and by splicing, over TCP and over UNIX.
"""

from dataclasses import dataclass

import pytest

from support.modes import MODES
from support.script import (
    Data,
    begin_saying,
    close,
    end,
    fill,
    meet,
    narrow,
    pause,
    play,
    reset,
    rest,
    said,
    say,
    see,
    see_all,
    silence,
    sleep,
    taken,
    told,
    unread,
    urgent,
)
from support.streams import MB

FRONTS = ("tcp-v4", "unix")
# A half-close through every kind of socket that a client can have.
EVERY_KIND = ("tcp-v4", "unix", "abstract", "inherited-connection", "inetd", "inetd-unix")
KB150 = 150_000


@dataclass(frozen=True)
class Row:
    one: list  # up: the client; down: the backend
    other: list
    log: str = ""  # of a row at whose end the connection is over; {one} becomes "client" or "backend"
    options: tuple = ()
    fronts: tuple = FRONTS
    directions: tuple = ("up", "down")
    client_buffer: int = None  # SO_RCVBUF, from before it connects
    # A UNIX client resets by leaving bytes unread, and in no other way: such a row has no UNIX client as the one.
    plain_reset: bool = False


def half_close(size):
    question, answer = Data("question", size), Data("answer", size)
    return Row(
        one=[say(question), end(), see_all(answer)],
        other=[see_all(question), pause(1), say(answer), end()],
        fronts=EVERY_KIND,
    )


def reset_after(size):
    data = Data("bytes before a reset", size)
    return Row(
        one=[say(data), taken(), reset()],
        other=[see_all(data, how="abort")],
        log='reason=".*{one}.*reset',
        plain_reset=True,
    )


def urgent_in_the_middle(size, seconds):
    before, after = Data("before", size), Data("after", size)
    return Row(
        one=[say(before), pause(seconds), urgent(b"!"), pause(seconds), say(after), end()],
        other=[see_all(before, b"!", after)],
    )


def messages(sizes):
    """Large ones with an answer each: no last piece of one waits for the next."""
    one, other = [], []
    for number, size in enumerate(sizes):
        message = Data(f"message {number}", size)
        one += [begin_saying(message), see(b"thanks"), said()]
        other += [see(message), say(b"thanks")]
    return Row(one=[*one, meet(), sleep()], other=[*other, meet()])


ROWS = {
    # ---- ends: the other side may still reply, however late ----
    "half-close, small": half_close(1000),
    "half-close, bulk": half_close(4 * MB),
    "end before any byte": Row(
        one=[end(), silence(0.5), meet(), see(b"still here"), see_all()],
        other=[see_all(within=5), meet(), say(b"still here"), end()],
        fronts=EVERY_KIND,
    ),
    "speaks and ends at once": Row(
        one=[say(Data("greeting", 4 * MB)), end(), see_all()],
        other=[see_all(Data("greeting", 4 * MB)), end()],
    ),
    "end does not overtake bytes for a slow reader": Row(
        one=[say(Data("slowly", 6 * MB)), close()],
        other=[pause(0.5), see_all(Data("slowly", 6 * MB))],
        directions=("down",),
        client_buffer=8192,
    ),
    "end after a long stream": Row(
        one=[say(Data("long", 30 * MB + 123)), close()],
        other=[see_all(Data("long", 30 * MB + 123))],
    ),
    "both write, and neither reads for a while": Row(
        one=[
            begin_saying(Data("up", 24 * MB)), pause(0.5), rest(2), meet(),
            see(Data("down", 24 * MB)), said(), end(), see_all(),
        ],
        other=[
            begin_saying(Data("down", 24 * MB)), meet(),
            see(Data("up", 24 * MB)), said(), end(), see_all(),
        ],
    ),
    # ---- resets: carried, after the bytes that came before ----
    "reset at once": Row(
        one=[reset()],
        other=[see_all(how="abort", within=5)],
        log='reason=".*reset',
        plain_reset=True,
    ),
    "reset after 1 MB": reset_after(MB),
    "reset after 8 MB": reset_after(8 * MB),
    "close with bytes unread": Row(
        one=[unread(), close()],
        other=[say(b"never read"), see_all(how="abort", within=5)],
        log='reason=".*{one}.*reset',
    ),
    "reset after the other has ended": Row(
        one=[see_all(), say(b"some"), taken(), reset()],
        other=[end(), see_all(b"some", how="abort")],
        plain_reset=True,
    ),
    "reset under a writer": Row(
        one=[pause(0.3), reset()],
        other=[told()],
        log="reason=",
    ),
    "reset while the reader pauses": Row(
        # No more than what lies between the two when nobody reads: a UNIX socket's queue and a window.
        one=[say(Data("waited for", KB150)), taken(), reset(), meet()],
        other=[narrow(65536), meet(), pause(0.4), see_all(Data("waited for", KB150), how="abort")],
        plain_reset=True,
    ),
    "reset, and nobody reads": Row(
        one=[fill(), reset(), meet()],
        other=[meet()],
        log='reason=".*reset',
        plain_reset=True,
    ),
    "reset, and the reader resets too": Row(
        one=[fill(), reset(), meet()],
        other=[unread(), meet(), pause(1.5), reset()],  # an end that is not read is looked at after 1 s
        log='reason=".*{one}.*reset',
        plain_reset=True,
    ),
    "reset after an end that was read": Row(
        one=[end(), meet(), pause(0.3), reset(), meet()],
        other=[see_all(), meet(), meet(), told(1)],
        log='reason=".*(reset|gone)',
        plain_reset=True,
    ),
    # ---- urgent bytes: in their place, without their mark ----
    "urgent byte in a short stream": urgent_in_the_middle(6, 0),
    "urgent byte in the middle": urgent_in_the_middle(6 * MB, 0),
    "urgent byte between pauses": urgent_in_the_middle(6 * MB, 0.3),
    "urgent byte is the last": Row(
        one=[say(Data("before", 4 * MB)), urgent(b"!"), end()],
        other=[see_all(Data("before", 4 * MB), b"!")],
    ),
    "urgent bytes alone and often": Row(
        one=[
            say(bytes(4 * MB)), meet(),
            urgent(b"a"), meet(), urgent(b"b"), meet(), urgent(b"c"), meet(),
            rest(1), say(b"plain"), end(),
        ],
        other=[
            see(bytes(4 * MB)), meet(),
            see(b"a", within=5), meet(), see(b"b", within=5), meet(), see(b"c", within=5), meet(),
            see_all(b"plain", within=5),
        ],
    ),
    # ---- long streams are moved in large pieces: from 4 MB on, and twice as late each time that bytes had to wait ----
    "messages and answers": messages([5 * MB + 1, 1, 70_000, MB + 17, 20 * MB + 999, 999_999, 3, 40 * MB + 5]),
    # ---- times ----
    "idle": Row(
        one=[see_all(how="abort", after=0.7, within=10)],
        other=[see_all(how="abort", within=10)],
        options=("--idle-timeout", "1s"),
        log='reason="idle timeout',
    ),
    "bytes in one direction keep it alive": Row(
        one=[say(b"x"), pause(0.4)] * 8,
        other=[see(b"x")] * 8,
        options=("--idle-timeout", "1500ms"),
    ),
    "idle, half-closed": Row(
        one=[end(), see_all(how="abort", within=10)],
        other=[see_all()],
        options=("--idle-timeout", "1s"),
        log='reason="idle timeout',
    ),
    "idle, since nobody reads": Row(
        one=[told(within=20)],
        other=[],
        options=("--idle-timeout", "1s"),
        log='reason="idle timeout',
    ),
    "half-closed for too long": Row(
        one=[silence(1.5), end(), meet(), see_all(how="abort", after=0.7, within=10)],
        other=[meet(), see_all(within=5)],
        options=("--half-close-timeout", "1s"),
        log='reason="half-close timeout',
    ),
    "half-closed, without any bound": Row(
        one=[end(), silence(2.5), meet(), see_all(b"late")],
        other=[see_all(), meet(), say(b"late"), close()],
    ),
}


def cases():
    for name, row in ROWS.items():
        for front in row.fronts:
            for direction in row.directions:
                if not (row.plain_reset and front == "unix" and direction == "up"):
                    yield pytest.param(row, front, direction, id=f"{name}-{front}-{direction}")


@pytest.mark.parametrize("row, front, direction", cases())
def test_row(stage, row, front, direction, data_path):
    backend = stage.backend()
    proxy, addresses = MODES[front](stage, backend, *data_path, "--access-log", *row.options)
    client = stage.connect(addresses[0], receive_buffer=row.client_buffer)
    sides = {"client": client, "backend": backend.accept()}
    one, other = sides if direction == "up" else reversed(sides)
    play(proxy, [(one, sides[one], row.one), (other, sides[other], row.other)])
    if row.log:
        proxy.wait_log(row.log.format(one=one))
        proxy.wait_released()  # whatever the two sides still have open
    stage.close_sockets()
    proxy.wait_released()
