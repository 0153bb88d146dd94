# SPDX-License-Identifier: BSD-3-Clause
"""Stock Debian by the firmware of two releases and GRUB, whose menu answers on the serial port."""

import pytest
from machinekit import set_firmware, stock_debian


@pytest.mark.host("icount")
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("release", ("this", "next"))
def test_debian_by_firmware(daemon, pf, far, release):
    with set_firmware(daemon, release):
        stock_debian(pf, 11 if release == "this" else 12)
