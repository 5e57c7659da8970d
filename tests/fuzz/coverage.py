"""tests/fuzz/coverage.py - llvm-cov's summary on standard input to a line for each file and a verdict.

coverage.py LEAST FILE...
coverage.py --missing FILE...	(of what `llvm-cov show` prints, the branches that nothing has taken)
"""

import json
import os
import re
import sys


def show_missing(wanted):
    name = source = ""
    for line in sys.stdin:
        if re.match(r"\S.*\.[ch]:$", line):
            name = os.path.relpath(line.strip()[:-1])
        elif re.match(r" +\d+\| ", line):
            source = line.split("|", 2)[2].strip()
        elif name in wanted and "Branch (" in line and re.search(r": 0[],]", line):
            print(f"{name} {line.strip()}  {source}")


def main():
    if sys.argv[1] == "--missing":
        show_missing(sys.argv[2:])
        return 0
    least, wanted = float(sys.argv[1]), sys.argv[2:]
    found = {}
    for entry in json.load(sys.stdin)["data"][0]["files"]:
        branches = entry["summary"]["branches"]
        found[os.path.relpath(entry["filename"])] = (branches["covered"], branches["count"])
    missing = [name for name in wanted if name not in found]
    seen = sum(found[name][0] for name in wanted if name in found)
    there = sum(found[name][1] for name in wanted if name in found)
    for name in wanted:
        if name in found:
            covered, count = found[name]
            print(f"{100 * covered / max(count, 1):6.1f} %  {covered:4} of {count:4}  {name}")
    for name in missing:
        print(f"{name}: no target has it")
    share = 100 * seen / max(there, 1)
    good = share >= least and not missing
    print(f"{share:.2f} % of {there} branches are seen, {least:g} % is the least")
    print("1 passed, 0 failed" if good else "0 passed, 1 failed")
    return 0 if good else 1


sys.exit(main())
