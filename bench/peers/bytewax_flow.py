"""Which keys lack their second event? Asked of a stream by Bytewax, one worker.

    python -m bytewax.run bytewax_flow     with EVENTS and FOUND in the environment

A key's timer is one of the wall clock, which is all that Bytewax gives to an operator of one's own: ten seconds, as
the other engines wait in event time. What still waits at the end of the stream is reported then.
"""

import json
import os
import time
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

LINES_AT_ONCE = 20_000
PATIENCE = timedelta(seconds=10)
FIRST = b"0"


class File(StatefulSourcePartition):
    def __init__(self, path):
        self.file = open(path, "rb", buffering=1 << 20)
        Found.began, Found.busy = time.perf_counter(), time.process_time()

    def next_batch(self):
        batch = []
        for line in self.file:
            key, kind, at = line.split(b",")
            batch.append((key.decode(), (kind == FIRST, int(at))))
            if len(batch) == LINES_AT_ONCE:
                break
        Found.events += len(batch)
        if not batch:
            raise StopIteration
        return batch

    def snapshot(self):
        return None


class Events(FixedPartitionedSource):
    def list_parts(self):
        return ["all"]

    def build_part(self, step_id, part, state):
        return File(os.environ["EVENTS"])


class Passage(op.StatefulBatchLogic):
    """One key: which of its two events were seen."""

    __slots__ = ("placed", "shipped", "due")

    def __init__(self):
        self.placed = self.shipped = False
        self.due = None

    def on_batch(self, values):
        for is_first, _ in values:
            if is_first:
                self.placed = True
            else:
                self.shipped = True
        if self.placed and self.shipped:
            return [], op.StatefulBatchLogic.DISCARD
        self.due = datetime.now(timezone.utc) + PATIENCE
        return [], op.StatefulBatchLogic.RETAIN

    def on_notify(self):
        return self.lacking(), op.StatefulBatchLogic.DISCARD

    def on_eof(self):
        return self.lacking(), op.StatefulBatchLogic.DISCARD

    def lacking(self):
        return [None] if self.placed and not self.shipped else []

    def notify_at(self):
        return self.due

    def snapshot(self):
        return None


class Found(StatelessSinkPartition):
    began = busy = 0.0
    events = 0

    def __init__(self):
        self.keys = []

    def write_batch(self, items):
        self.keys.extend(key for key, _ in items)

    def close(self):
        wall, busy = time.perf_counter() - Found.began, time.process_time() - Found.busy
        with open(os.environ["FOUND"], "w") as out:
            out.writelines(key + "\n" for key in self.keys)
        told = {"version": version("bytewax"), "events": Found.events, "seconds": [wall], "cores": busy / wall}
        print(json.dumps(told), flush=True)


class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Found()


flow = Dataflow("absence")
events = op.input("events", flow, Events())
lacking = op.stateful_batch("pair", events, lambda state: Passage())
op.output("found", lacking, Sink())
