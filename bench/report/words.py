# SPDX-License-Identifier: BSD-3-Clause
"""The words of `viaduct bench report` and `viaduct bench compare`."""

import argparse
import json
import os
import shutil
import sys

from . import differ, output, page, picture, schema, terminal

VERBS = ("report", "compare")
PLAIN_WIDTH = 100  # of what goes to a file or a pipe


def terminal_width():
    return shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns if sys.stdout.isatty() else PLAIN_WIDTH


def put_json(path, what):
    made = json.dumps(what)
    if path == "-":
        print(made)
    else:
        output.write(path, made + "\n")


def report(options):
    result = schema.read(options.file)
    if options.html:
        output.write(options.html, page.html(result))
    if options.png:
        picture.png(result, options.png, options.plot, options.dark)
    if options.json:
        put_json(options.json, result)
    elif not options.html and not options.png:
        print(terminal.text(result, terminal_width()))
    return 0


def compared(options):
    a, b = schema.read(options.a), schema.read(options.b)
    again = schema.read(options.again) if options.again else None
    found = differ.compared(a, b, again)
    if options.json:
        put_json(options.json, found)
    else:
        print(differ.told((a, b, again), found, terminal_width(), options.every))
    return 1 if differ.worse(found) else 0


def add_words(words):
    """Adds the words to the sub-parsers of argparse (whose dest is verb); run() does what they say."""
    one = words.add_parser("report", allow_abbrev=False, help="one result as tables, a page or a picture")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--html", metavar="OUT", help="write one self-contained page")
    one.add_argument("--png", metavar="OUT", help="write a picture of the plots")
    one.add_argument("--plot", metavar="PLOT,...", type=lambda text: text.split(","), help="only these plots in the picture")
    one.add_argument("--dark", action="store_true", help="the picture in dark colours")
    one.add_argument("--json", metavar="FILE", help="write the checked result; - prints it")
    one.set_defaults(run=report)
    two = words.add_parser("compare", allow_abbrev=False, help="what changed from A to B beyond the noise")
    two.add_argument("a", metavar="A")
    two.add_argument("b", metavar="B")
    two.add_argument("--again", metavar="FILE", help="a second run of A: what drifts from run to run is no change")
    two.add_argument("--every", action="store_true", help="every figure, not only those that changed")
    two.add_argument("--json", metavar="FILE", help="write every figure as JSON; - prints it")
    two.set_defaults(run=compared)


def run(options):
    """What the words ask; returns the exit status: 0; 1 for what is no result, cannot be made, or has become worse."""
    sys.stdout.reconfigure(errors="replace")
    status = 0
    try:
        status = options.run(options)
        sys.stdout.flush()
    except schema.ReportError as e:
        print(f"viaduct bench {options.verb}: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: what is left goes nowhere
    return status


def main(words):
    """run(), or 2 for wrong words."""
    parser = argparse.ArgumentParser(prog="viaduct bench", description="Shows results of benchmarks.", allow_abbrev=False)
    add_words(parser.add_subparsers(dest="verb", required=True))
    return run(parser.parse_args(words))
