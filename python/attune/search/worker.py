"""The worker side of `attune-eval 1`: a function that trains becomes an evaluator of a study.

    from attune.search import worker

    def evaluate(values, fixed, seed, report):
        for epoch in range(10):
            ...
            report(epoch + 1, val_acc=accuracy)     # the study may end the evaluation here
        return {"val_acc": accuracy}

    worker.serve(evaluate)

or `python -m attune.search.worker module:function`. The function takes those of `values`, `fixed`,
`seed`, `report`, `rungs` (steps at which the study looks at reports), `genes` and `id` that it
names, and returns its metrics. An exception is a failed
candidate; `Retry` asks the study to send the candidate again. What is printed goes to standard
error, also what libraries and child processes print.
"""

import importlib
import inspect
import json
import os
import select
import sys
import time
import traceback


class Retry(Exception):
    """The evaluation failed for a reason that has nothing to do with the candidate."""


class Stopped(Exception):
    """Raised by `report` when the study has no more interest. Let it pass."""


class Channel:
    """Lines to and from the study, over descriptors that nothing else in this process uses."""

    def __init__(self):
        self._in, self._out = os.dup(0), os.dup(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        self._rest = b""

    def say(self, **message):
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(self._out, line) :]

    def hear(self, wait=True):
        """The next message; None at the end of input, or if there is none yet and `wait` is false."""
        while b"\n" not in self._rest:
            if not wait and not select.select([self._in], [], [], 0)[0]:
                return None
            data = os.read(self._in, 1 << 16)
            if not data:
                return None
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line)


def _number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def arguments(job, report):
    """What an evaluation may ask for, by name. Numbers among `fixed` are numbers."""
    fixed = {name: _number(text) for name, text in job["fixed"].items()}
    same = {name: job[name] for name in ("id", "genes", "values", "seed")}
    return {**same, "fixed": fixed, "report": report, "rungs": job.get("rungs", [])}


def call(evaluate, given):
    """`evaluate` with those of the arguments that it names."""
    wanted = inspect.signature(evaluate).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in wanted):
        return evaluate(**given)
    return evaluate(**{p.name: given[p.name] for p in wanted if p.name in given})


def numbers(metrics):
    """Metrics as plain floats, whatever library they are from."""
    return {str(name): float(value) for name, value in metrics.items()}


def load(name):
    """`module:function`; modules of the current folder count."""
    module, _, function = name.partition(":")
    if not function:
        sys.exit(f"expects module:function, found `{name}`")
    sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), function)


def serve(evaluate, channel=None):
    """Evaluates what the study asks for until the study ends."""
    channel = channel or Channel()
    channel.say(hello={"protocol": 1})
    while (message := channel.hear()) is not None:
        job = message.get("eval")
        if not job:  # a stop that came after the end of its evaluation
            continue
        identity = {"id": job["id"]}

        def report(step, **metrics):
            channel.say(progress={**identity, "step": step, "metrics": numbers(metrics)})
            while heard := channel.hear(wait=False):
                if heard.get("stop") == identity:
                    raise Stopped

        start = time.monotonic()
        try:
            metrics = numbers(call(evaluate, arguments(job, report)))
            channel.say(
                result={**identity, "metrics": metrics, "seconds": time.monotonic() - start}
            )
        except Stopped:
            channel.say(stopped=identity)
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
            retryable = isinstance(error, Retry)
            channel.say(error={**identity, "message": reason, "retryable": retryable})


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python -m attune.search.worker module:function")
    serve(load(sys.argv[1]))


if __name__ == "__main__":
    # Under its real name, so that `Retry` and `Stopped` are the classes that evaluators import.
    importlib.import_module("attune.search.worker").main()
