"""Which keys lack their second event? Asked of a batch engine: load a table, then run one query several times.

    batch.py duckdb|clickhouse|polars EVENTS FOUND FOLDER RUNS CORES
"""

import json
import os
import sys
import time


def duckdb(events, folder, cores):
    import duckdb as engine

    base = engine.connect(os.path.join(folder, "events.duckdb"), config={"threads": cores})

    def load():
        base.execute(
            f"CREATE TABLE events AS SELECT * FROM read_csv('{events}', header=false, "
            "columns={'key': 'VARCHAR', 'kind': 'UTINYINT', 'ts': 'BIGINT'})"
        )
        return base.execute("SELECT count(*) FROM events").fetchone()[0]

    def query():
        rows = base.execute(
            "SELECT key, min(ts) FILTER (kind = 0) AS placed, count(*) FILTER (kind = 1) AS shipped "
            "FROM events GROUP BY key HAVING placed IS NOT NULL AND shipped = 0"
        ).fetchall()
        return [row[0] for row in rows]

    return engine.__version__, load, {"": query}


def clickhouse(events, folder, cores):
    import chdb
    from chdb import session

    base = session.Session(os.path.join(folder, "clickhouse"))
    layouts = {"as it arrived": ("arrived", "tuple()"), "sorted by key": ("sorted", "(key, kind)")}

    def load():
        for table, order in layouts.values():
            base.query(
                f"CREATE TABLE {table} (key String, kind UInt8, ts Int64) ENGINE = MergeTree ORDER BY {order}"
            )
            base.query(
                f"INSERT INTO {table} SELECT * FROM file('{events}', 'CSV', 'key String, kind UInt8, ts Int64') "
                f"SETTINGS max_threads = {cores}"
            )
        return int(base.query("SELECT count() FROM sorted", "TSV").bytes())

    def over(table):
        def query():
            answer = base.query(
                "SELECT key, minIf(ts, kind = 0) AS placed, countIf(kind = 1) AS shipped "
                f"FROM {table} GROUP BY key HAVING placed > 0 AND shipped = 0 SETTINGS max_threads = {cores}",
                "TSV",
            )
            return [line.split(b"\t")[0].decode() for line in answer.bytes().splitlines()]

        return query

    return chdb.__version__, load, {name: over(table) for name, (table, _) in layouts.items()}


def polars(events, folder, cores):
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    import polars as pl

    table = {}

    def load():
        columns = {"key": pl.String, "kind": pl.UInt8, "ts": pl.Int64}
        table["events"] = pl.read_csv(events, has_header=False, schema=columns)
        return table["events"].height

    def query():
        is_first = pl.col("kind") == 0
        # Written with `when`: `filter` inside the aggregation is several times slower.
        pairs = table["events"].lazy().select(
            "key", placed=pl.when(is_first).then("ts"), shipped=(~is_first).cast(pl.UInt32)
        )
        lacking = (
            pairs.group_by("key")
            .agg(pl.col("placed").min(), pl.col("shipped").sum())
            .filter(pl.col("placed").is_not_null() & (pl.col("shipped") == 0))
        )
        return lacking.collect(engine="streaming")["key"].to_list()

    return pl.__version__, load, {"": query}


def main():
    name, events, found, folder, runs, cores = sys.argv[1:]
    engine = {"duckdb": duckdb, "clickhouse": clickhouse, "polars": polars}[name]
    version, load, queries = engine(events, folder, int(cores))
    started = time.perf_counter()
    rows = load()
    loaded = time.perf_counter() - started
    told = []
    for layout, query in queries.items():
        wall, processor, keys = [], 0.0, []
        for _ in range(int(runs)):
            began, busy = time.perf_counter(), time.process_time()
            keys = query()
            wall.append(time.perf_counter() - began)
            processor += time.process_time() - busy
        told.append((sorted(wall)[len(wall) // 2], layout, wall, processor / sum(wall), keys))
    _, layout, wall, busy, keys = min(told)
    with open(found, "w") as out:
        out.writelines(key + "\n" for key in keys)
    answer = {"version": version, "events": rows, "load_seconds": loaded, "seconds": wall, "cores": busy}
    print(json.dumps(answer | {"layout": layout}))


main()
