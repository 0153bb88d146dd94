# SPDX-License-Identifier: BSD-3-Clause
"""The words of `viaduct bench report` and `viaduct bench compare`."""

import argparse
import json
import os
import shutil
import sys

from . import schema, text


def terminal_width():
    return shutil.get_terminal_size((100, 0)).columns if sys.stdout.isatty() else 100


def write(path, made):
    """To a file beside first, so that there is never half a report."""
    beside = f"{path}.part"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(made)
        os.replace(beside, path)
    except (OSError, ValueError) as e:
        raise schema.ReportError(f"{schema.clean(path)}: {getattr(e, 'strerror', None) or e}") from None


def report(options):
    result = schema.read(options.file)
    if options.json:
        print(json.dumps(result))
    else:
        print(text.text(result, terminal_width()))
    return 0


def parser():
    out = argparse.ArgumentParser(prog="viaduct bench", description="Shows results of benchmarks.")
    words = out.add_subparsers(dest="word", required=True)
    one = words.add_parser("report", help="one result as tables")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--json", action="store_true", help="print the checked result")
    one.set_defaults(run=report)
    return out


def main(words):
    """Exit status: 0, 1 for a file that is no result or an output that cannot be made, 2 for wrong words."""
    sys.stdout.reconfigure(errors="replace")
    options = parser().parse_args(words)
    try:
        return options.run(options)
    except schema.ReportError as e:
        print(f"viaduct bench {options.word}: {e}", file=sys.stderr)
        return 1
