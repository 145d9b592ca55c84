# SPDX-License-Identifier: MIT
"""Every listening mode serves a 300 kB random exchange with half-close, exactly."""

import pytest

from support.modes import MODES
from support.streams import exchange


@pytest.mark.parametrize("mode", MODES)
def test_exchange(stage, mode, data_path):
    backend = stage.backend()
    proxy, addresses = MODES[mode](stage, backend, *data_path)
    for address in addresses:
        for turn in range(2):
            client = stage.connect(address)
            exchange(client, backend.accept(), seed=f"{stage.seed}-{address}-{turn}")
            client.close()
    stage.close_sockets()
    proxy.wait_released()
