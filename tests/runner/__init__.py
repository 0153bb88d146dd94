# SPDX-License-Identifier: BSD-3-Clause
"""The test-running machinery behind scripts/test."""
