# SPDX-License-Identifier: BSD-3-Clause
"""python3 -m report WORDS..., from the folder above."""

import sys

from .words import main

sys.exit(main(sys.argv[1:]))
