# SPDX-License-Identifier: MIT
"""A side that goes away under a writer costs that connection only: no SIGPIPE, no harm to others."""

import signal

import pytest

from support.streams import Background, exchange, read_exactly


@pytest.mark.parametrize("listen", ["tcp", "unix"])
@pytest.mark.parametrize("leaver", ["client", "backend"])
def test_close_midway(stage, listen, leaver, data_path):
    backend = stage.backend()
    proxy = stage.proxy(
        *data_path,
        stage.front(listen),
        backend.address,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
    )
    other = stage.connect(proxy.listening[0])
    other_end = backend.accept()

    for size in (1, 100_000, 5_000_000):
        client = stage.connect(proxy.listening[0])
        connection = backend.accept()
        reader, writer = (client, connection) if leaver == "client" else (connection, client)
        writing = Background(writer.sendall, bytes(64 << 20))
        read_exactly(reader, size)
        reader.close()
        with pytest.raises(ConnectionError):
            writing.result()
        writer.close()

    exchange(other, other_end, seed=stage.seed)
    assert proxy.alive()
