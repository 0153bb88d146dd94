# SPDX-License-Identifier: BSD-3-Clause
"""The words of `viaduct bench report` and `viaduct bench compare`."""

import argparse
import json
import os
import shutil
import sys

from . import differ, page, picture, schema, terminal

PLAIN_WIDTH = 100  # of what goes to a file or a pipe


def terminal_width():
    return shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns if sys.stdout.isatty() else PLAIN_WIDTH


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
    if options.html:
        write(options.html, page.html(result))
    if options.png:
        picture.png(result, options.png, options.plot, options.dark)
    if options.json:
        print(json.dumps(result))
    elif not options.html and not options.png:
        print(terminal.text(result, terminal_width()))
    return 0


def compared(options):
    a, b = schema.read(options.a), schema.read(options.b)
    found = differ.compared(a, b)
    if options.json:
        print(json.dumps(found))
    else:
        print(differ.compare(a, b, terminal_width(), options.all))
    return 1 if differ.worse(found) else 0


def add_words(words):
    """Adds the words to the sub-parsers of argparse; each sets run, which raises ReportError."""
    one = words.add_parser("report", help="one result as tables, a page or a picture")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--html", metavar="OUT", help="write one self-contained page")
    one.add_argument("--png", metavar="OUT", help="write a picture of the plots")
    one.add_argument("--plot", metavar="NAME", action="append", help="only this plot in the picture; may be repeated")
    one.add_argument("--dark", action="store_true", help="the picture in dark colours")
    one.add_argument("--json", action="store_true", help="print the checked result")
    one.set_defaults(run=report)
    two = words.add_parser("compare", help="what changed from A to B beyond the noise")
    two.add_argument("a", metavar="A")
    two.add_argument("b", metavar="B")
    two.add_argument("--all", action="store_true", help="every figure, not only those that changed")
    two.add_argument("--json", action="store_true", help="print every figure as JSON")
    two.set_defaults(run=compared)


def main(words):
    """Exit status: 0; 1 for what is no result, cannot be made, or has become worse; 2 for wrong words."""
    parser = argparse.ArgumentParser(prog="viaduct bench", description="Shows results of benchmarks.")
    add_words(parser.add_subparsers(dest="word", required=True))
    options = parser.parse_args(words)
    sys.stdout.reconfigure(errors="replace")
    status = 0
    try:
        status = options.run(options)
        sys.stdout.flush()
    except schema.ReportError as e:
        print(f"viaduct bench {options.word}: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: what is left goes nowhere
    return status
