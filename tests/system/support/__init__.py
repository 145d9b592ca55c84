# SPDX-License-Identifier: MIT
"""What the tests of the running program share: stages, proxies, backends, streams, what the kernel says."""
