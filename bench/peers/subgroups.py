"""pysubgroup on tables with planted causes: how many it names exactly, and in what time.

It is given what it needs to do well: the number of causes. The best subgroup is taken, the failures that it covers are
left out, and so on. Usage: subgroups.py FOLDER, as `cargo xtask contrast --peers` fills it.
"""

import json
import pathlib
import sys
import time
import warnings
from collections import defaultdict

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

# It takes long; longer tables are drawn down to this many rows.
MOST_ROWS = 5_000


def attempts(table):
    """One row for each attempt; of counts, as many as there is room for, at the same rates."""
    if table["total"].max() > 1:
        scale = min(1.0, MOST_ROWS / table["total"].sum())
        draw = np.random.default_rng(1)
        total = draw.binomial(table["total"], scale)
        rate = table["bad"] / table["total"].clip(lower=1)
        bad = draw.binomial(total, rate.clip(0, 1))
        rows = table.drop(columns=["bad", "total"])
        failing = rows.loc[rows.index.repeat(bad)].assign(failing=True)
        healthy = rows.loc[rows.index.repeat(total - bad)].assign(failing=False)
        return pd.concat([failing, healthy], ignore_index=True)
    rows = table.drop(columns=["bad", "total"]).assign(failing=table["bad"] > 0)
    return rows.sample(MOST_ROWS, random_state=1) if len(rows) > MOST_ROWS else rows


def by_pysubgroup(rows):
    import pysubgroup as ps

    target = ps.BinaryTarget("failing", True)
    space = ps.create_selectors(rows, ignore=["failing"])
    task = ps.SubgroupDiscoveryTask(rows, target, space, result_set_size=1, depth=3, qf=ps.WRAccQF())
    found = ps.BeamSearch(beam_width=50).execute(task).to_dataframe()
    if found.empty:
        return None
    selectors = found.iloc[0]["subgroup"].selectors
    return {str(one).replace("'", "").replace("==", " = ") for one in selectors}


def answer(search, rows, causes):
    told = []
    for _ in range(causes):
        if not rows["failing"].any():
            break
        found = search(rows)
        if not found:
            break
        told.append(found)
        inside = pd.Series(True, index=rows.index)
        for one in found:
            if " = " in one:
                name, value = one.split(" = ", 1)
                inside &= rows[name].astype(str) == value
        rows = rows[~(inside & rows["failing"])]
    return told


def main():
    folder = pathlib.Path(sys.argv[1])
    results = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        truth = json.loads(path.read_text())
        if not truth["causes"]:
            continue
        rows = attempts(pd.read_csv(path.with_suffix(".csv")))
        wanted = {frozenset(cause) for cause in truth["causes"]}
        started = time.perf_counter()
        told = {frozenset(one) for one in answer(by_pysubgroup, rows, len(wanted))}
        results[truth["setting"]].append((told == wanted, time.perf_counter() - started))
    print("| setting | tables | pysubgroup | its slowest |\n| --- | --- | --- | --- |")
    for setting, by in results.items():
        share = 100 * sum(exact for exact, _ in by) / len(by)
        slowest = max(seconds for _, seconds in by)
        print(f"| {setting} | {len(by)} | {share:.0f} % | {slowest:.1f} s |")


if __name__ == "__main__":
    main()
