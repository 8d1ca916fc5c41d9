"""Plants single mistakes in the sources, all in one program, and lists those that no test notices.

    cargo install --locked cargo-mutants
    python3 scripts/mutants --list                  # how many there are in each crate
    python3 scripts/mutants                         # all of them: an hour on 2 cores
    python3 scripts/mutants core cpu                # those of some crates
    python3 scripts/mutants --sample 100 --seed 7   # some of each crate, drawn by chance

cargo-mutants says which mistakes there are: another operator, a body that returns a constant, an arm of a match left
out. plant/ puts all of them into a copy of the tree (target/mutants/tree), where a number in the environment chooses one.
Each test is run once alone, which shows where it comes by; then the tests that come by a mistake are run with it, the
quickest first, until one fails. Mistakes that change no result are listed in equivalent.toml with the reason, and are
not planted. Endless loops and crashes count as found; what does not compile does not count, nor do mistakes in constants,
which cannot be chosen at run time. Ends with 1 if a mistake was missed.
"""

import argparse
import random
import sys
from collections import Counter

from listing import CRATES, equivalents, mutants
from planting import build, plant
from running import coverage, outcomes


def interval(found, total, z=1.96):
    """95 % interval of a share (Wilson, 1927)."""
    share, spread = found / total, z * z / total
    half = z * (share * (1 - share) / total + spread / total / 4) ** 0.5
    return [(share + spread / 2 + sign * half) / (1 + spread) for sign in (-1, 1)]


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crates", nargs="*", metavar="CRATE", help=f"of {', '.join(CRATES)} (default: all)")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mistakes of each crate instead of all")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the sample (default 1)")
    parser.add_argument("--list", action="store_true", help="count them and plant none")
    options = parser.parse_args()
    for crate in options.crates:
        if crate not in CRATES:
            parser.error(f"no crate {crate}: {', '.join(CRATES)}")

    known, everything = equivalents(), mutants()
    for file, change, line in sorted(known - {mutant["key"] for mutant in everything}):
        print(f"not there any more: {file}: {change}\n    {line}", file=sys.stderr)
    chosen = []
    for crate in options.crates or CRATES:
        own = [mutant for mutant in everything if mutant["crate"] == crate]
        planted = [mutant for mutant in own if mutant["key"] not in known]
        print(f"{crate}: {len(own)} mistakes, {len(own) - len(planted)} of them known to change no result", flush=True)
        if options.sample is not None:
            planted = random.Random(options.seed).sample(planted, min(options.sample, len(planted)))
        chosen += planted
    if options.list:
        return

    places = plant(chosen)
    tests = coverage(build(), options.crates or CRATES)
    became = outcomes([mutant | {"place": places[mutant["id"]]} for mutant in chosen if mutant["id"] in places], tests)
    missed = 0
    for crate in options.crates or CRATES:
        own = [mutant for mutant in chosen if mutant["crate"] == crate and mutant["id"] in became]
        for mutant in own:
            if became[mutant["id"]] in ("missed", "no test comes by"):
                print(f"{became[mutant['id']]}: {mutant['name']}\n    {mutant['key'][2]}")
                missed += 1
        count = Counter(became[mutant["id"]] for mutant in own)
        found, total = count["found"] + count["endless"], len(own)
        if total:
            low, high = interval(found, total)
            print(f"{crate}: {found} of {total} found, {found / total:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
