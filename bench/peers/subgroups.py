"""pysubgroup and DivExplorer on tables with planted causes: how many they name exactly, and in what time.

They are given what they need to do well: the number of causes. The best subgroup is taken, the failures that it covers are
left out, and so on. Usage: subgroups.py FOLDER, as `cargo xtask contrast --peers` fills it.
"""

import json
import multiprocessing
import pathlib
import sys
import time
import warnings
from collections import defaultdict

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

# They take long; longer tables are drawn down to this many rows.
MOST_ROWS = 5_000
# A table that takes longer is not waited for.
MOST_SECONDS = 20
# Subgroups of fewer rows are not looked at by DivExplorer, which looks at all others.
LEAST_SHARE = 0.01


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


def by_divexplorer(rows):
    from divexplorer import DivergenceExplorer

    # Of three conditions at the most, as what is planted.
    explorer = DivergenceExplorer(rows.assign(failing=rows["failing"].astype(int)))
    found = explorer.get_pattern_divergence(min_support=LEAST_SHARE, boolean_outcomes=["failing"])
    found = found[found["length"].between(1, 3) & (found["failing_div"] > 0)]
    if found.empty:
        return None
    best = found.sort_values(["failing_t", "length"], ascending=[False, True]).iloc[0]
    return {str(item).replace("=", " = ", 1) for item in best["itemset"]}


PEERS = {"pysubgroup": by_pysubgroup, "DivExplorer": by_divexplorer}


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


def timed(name, rows, causes, told):
    started = time.perf_counter()
    found = answer(PEERS[name], rows, causes)
    told.put((found, time.perf_counter() - started))


def ask(name, rows, causes):
    """What it tells and the seconds that took; nothing where that is too long, or it fails."""
    told = multiprocessing.Queue()
    asked = multiprocessing.Process(target=timed, args=(name, rows, causes, told))
    asked.start()
    asked.join(MOST_SECONDS)
    if asked.is_alive():
        asked.kill()
        asked.join()
    return told.get(timeout=1) if asked.exitcode == 0 else None


def shown(answers):
    """Of those that were answered how many exactly, and the slowest."""
    share = 100 * sum(exact for exact, _ in answers if exact is not None) / len(answers)
    late = sum(exact is None for exact, _ in answers)
    slowest = max((seconds for _, seconds in answers if seconds is not None), default=0)
    unanswered = f", {late} not within {MOST_SECONDS} s" if late else ""
    return f"{share:.0f} %{unanswered} | {slowest:.1f} s"


def main():
    folder = pathlib.Path(sys.argv[1])
    results = defaultdict(lambda: {name: [] for name in PEERS})
    for path in sorted(folder.glob("*.json")):
        truth = json.loads(path.read_text())
        if not truth["causes"]:
            continue
        rows = attempts(pd.read_csv(path.with_suffix(".csv")))
        wanted = {frozenset(cause) for cause in truth["causes"]}
        for name in PEERS:
            told = ask(name, rows, len(wanted))
            exact = told and {frozenset(one) for one in told[0]} == wanted
            results[truth["setting"]][name].append((exact, told and told[1]))
    heads = " | ".join(f"{name} | its slowest" for name in PEERS)
    print(f"| setting | tables | {heads} |\n| --- | --- |{' --- |' * 2 * len(PEERS)}")
    for setting, by in results.items():
        cells = " | ".join(shown(by[name]) for name in PEERS)
        print(f"| {setting} | {len(by['pysubgroup'])} | {cells} |")


if __name__ == "__main__":
    main()
