"""Evaluations on a Ray cluster (`pip install attune[ray]`):

    evaluator:
      name: worker
      command: [python3, -m, attune.search.ray, --address, auto, "module:function"]

Every worker process of the study is a thin proxy with one actor on the cluster; `--workers N` of the
study is the number of actors. The function is as in `attune.search.worker`. Where an
actor dies, another takes its place and gets its candidate, so that the study ends as it would have. The study,
its journal and the order of results stay where `attune search` runs. Nodes see this folder and
these Python packages at the same paths, as on one machine or with a shared file system.
"""

import argparse
import os
import queue
import sys
import threading

from attune.search import worker

try:
    import ray
except ModuleNotFoundError:
    sys.exit("ray is not installed: pip install attune[ray]")


class Evaluator:
    """The actor: evaluates in one thread, so that another can tell it to stop."""

    def __init__(self, name, folder):
        os.chdir(folder)
        self.evaluate = worker.load(name)
        self.stopped = None

    def stop(self, number):
        self.stopped = number

    def run(self, given):
        """Yields (step, metrics) for every report, then the metrics of the end."""
        said = queue.Queue()

        def report(step, **metrics):
            said.put((step, worker.numbers(metrics)))
            if self.stopped == given["id"]:
                raise worker.Stopped

        def work():
            try:
                said.put(worker.numbers(worker.call(self.evaluate, {**given, "report": report})))
            except BaseException as error:
                said.put(error)

        threading.Thread(target=work, daemon=True).start()
        while isinstance(message := said.get(), tuple):
            yield message
        if isinstance(message, BaseException):
            raise message
        yield message


def proxy(start):
    """`evaluate` of an actor, here; `start` makes one."""
    actor = start()

    def evaluate(report, **given):
        nonlocal actor
        stream = actor.run.options(num_returns="streaming").remote(given)
        try:
            for reference in stream:
                message = ray.get(reference)
                if isinstance(message, dict):
                    return message
                try:
                    report(message[0], **message[1])
                except worker.Stopped:
                    actor.stop.remote(given["id"])
                    raise
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            actor = start()
            raise worker.Retry(f"the actor died: {error}") from error

    return evaluate


def main():
    parser = argparse.ArgumentParser(prog="attune.search.ray", description=__doc__.splitlines()[0])
    parser.add_argument("function", help="module:function")
    parser.add_argument("--address", default="auto", help="of the cluster (default: auto)")
    parser.add_argument("--cpus", type=float, default=1, help="that an actor takes (default 1)")
    parser.add_argument("--gpus", type=float, default=0, help="that an actor takes (default 0)")
    arguments = parser.parse_args()
    channel = worker.Channel()  # before Ray says anything
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {"env_vars": {"PYTHONPATH": paths}}
    ray.init(address=arguments.address, runtime_env=environment, log_to_driver=True)
    remote = ray.remote(Evaluator).options(
        num_cpus=arguments.cpus, num_gpus=arguments.gpus, max_concurrency=2
    )
    worker.serve(proxy(lambda: remote.remote(arguments.function, os.getcwd())), channel)


if __name__ == "__main__":
    main()
