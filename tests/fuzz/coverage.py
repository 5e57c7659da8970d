"""tests/fuzz/coverage.py - llvm-cov's export on standard input to a line for each file and a verdict.

coverage.py [--missing] LEAST FILE[:FUNCTION,...]...

Where functions are named only those count. A branch counts twice, taken and not taken; one of an inline function or a
macro once for each place that it stands at in a source. Left out are those that only a failing allocation takes: the
line, or the one below, gives -ENOMEM. --missing prints those that no input has gone.
"""

import json
import os
import sys


def is_of_memory(lines, line):
    return any("-ENOMEM" in text for text in lines[line - 1:line + 1])


def lines_of(name):
    with open(name, encoding="utf-8") as f:
        return f.read().split("\n")


def read_branches(data, wanted):
    """{file: {place of a branch: [taken, not taken]}} of the files and functions that are wanted."""
    found = {name: {} for name in wanted}
    lines = {name: lines_of(name) for name in wanted}
    for function in data["functions"]:
        name = os.path.relpath(function["filenames"][0])
        if name not in wanted:
            continue
        if wanted[name] and function["name"].rpartition(":")[2] not in wanted[name]:
            continue
        for line, column, _, _, taken, not_taken, file_id, expanded, _ in function["branches"]:
            # What stands in a macro of another file is the same for all who use it.
            if os.path.relpath(function["filenames"][file_id]) != name or is_of_memory(lines[name], line):
                continue
            counts = found[name].setdefault((line, column, file_id, expanded), [0, 0])
            counts[0] += taken
            counts[1] += not_taken
    return found


def show_missing(found):
    for name, branches in found.items():
        lines = lines_of(name)
        for (line, column, _, _), counts in sorted(branches.items()):
            for which, count in zip(("true", "false"), counts):
                if count == 0:
                    print(f"{name}:{line}:{column}: never {which}: {lines[line - 1].strip()}")


def main():
    args = [arg for arg in sys.argv[1:] if arg != "--missing"]
    least = float(args[0])
    wanted = {}
    for arg in args[1:]:
        name, _, functions = arg.partition(":")
        wanted[name] = set(functions.split(",")) if functions else set()
    found = read_branches(json.load(sys.stdin)["data"][0], wanted)
    if "--missing" in sys.argv:
        show_missing(found)
        return 0
    all_seen = all_there = 0
    for name, branches in found.items():
        seen = sum((taken > 0) + (not_taken > 0) for taken, not_taken in branches.values())
        there = 2 * len(branches)
        all_seen += seen
        all_there += there
        print(f"{100 * seen / max(there, 1):6.1f} %  {seen:4} of {there:4}  {name}")
    share = 100 * all_seen / max(all_there, 1)
    good = share >= least and all(found.values())
    for name in (name for name, branches in found.items() if not branches):
        print(f"{name}: no target has it")
    print(f"{share:.2f} % of {all_there} branches are seen, {least:g} % is the least")
    print("1 passed, 0 failed" if good else "0 passed, 1 failed")
    return 0 if good else 1


sys.exit(main())
