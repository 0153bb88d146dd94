# SPDX-License-Identifier: BSD-3-Clause
"""The virtual SR-IOV host: what lab/run, lab/ctl, lab/setup-cache and lab/guest-image are made of."""


class LabError(Exception):
    """What failed, why, and what to type next, in one line for the operator."""
