# SPDX-License-Identifier: MIT
"""How sure a ratio is: bootstrapped intervals of the median of paired ratios, and what they say.

Used by report.py.  A ratio is one slice's, of two proxies that were measured one after the other;
its key is (round, slice).  What disturbs a machine lasts longer than a slice, so that slices of
one round are alike: the resampling draws rounds first, and then slices within each.
"""

import random
import statistics

# The median of fewer values can lie outside of all of them once in 20 times.
FEWEST = 6
RESAMPLES = 1000
COVERED = 0.95

# Closer than this is equal, if that is sure; closer than the first, even if it is sure too who is better.
ALIKE = 0.02
EQUAL = 0.05


def of_median(ratios):
    """(low, high), which holds the true median 19 times out of 20; None where there are too few.

    @ratios: {(round, slice): ratio}
    """
    if len(ratios) < FEWEST:
        return None
    rounds = {}
    for (number, _), ratio in ratios.items():
        rounds.setdefault(number, []).append(ratio)
    rounds = list(rounds.values())
    draw = random.Random(1)  # the same figures give the same interval
    medians = sorted(
        statistics.median(
            ratio for part in draw.choices(rounds, k=len(rounds)) for ratio in draw.choices(part, k=len(part))
        )
        for _ in range(RESAMPLES)
    )
    cut = int(RESAMPLES * (1 - COVERED) / 2)
    return medians[cut], medians[-1 - cut]


def verdict(interval, more_is_better):
    """ "better", "worse" or "equal" where the interval says so; else nothing."""
    if interval is None:
        return ""
    low, high = interval
    if low >= 1 - ALIKE and high <= 1 + ALIKE:
        return "equal"
    if low > 1 or high < 1:
        return "better" if (low > 1) == more_is_better else "worse"
    if low >= 1 - EQUAL and high <= 1 + EQUAL:
        return "equal"
    return ""


def text(ratios, more_is_better, digits=2):
    """The median, its interval and the verdict, as they are printed."""
    interval = of_median(ratios)
    words = [f"{statistics.median(ratios.values()):.{digits}f}"]
    if interval:
        words.append("({:.{digits}f}-{:.{digits}f})".format(*interval, digits=digits))
    words.append(verdict(interval, more_is_better))
    return " ".join(word for word in words if word)
