"""One peer in a process of its own, driven by `run.py` with JSON lines on stdin and stdout.

{"do": "load", "model": M, "threads": N, "work": DIR}  -> {"ms": time of loading, "version": ...}
{"do": "bind", "inputs": F.npz, "outputs": G.npz}      -> {}  one run on those inputs, saved to G
{"do": "time", "runs": N, "warm": true}                -> {"ms": [...]}  after one more if warm
"""

import importlib
import json
import os
import sys
import time

import numpy as np


def main(name):
    # A peer may print; the protocol keeps the real stdout to itself.
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = session = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                peer = importlib.import_module(f"peers.{name}")
                start = time.perf_counter()
                session = peer.Session(request["model"], request["threads"], request["work"])
                answer = {"ms": (time.perf_counter() - start) * 1e3, "version": peer.version()}
            elif request["do"] == "bind":
                with np.load(request["inputs"]) as feeds:
                    session.bind(dict(feeds))
                np.savez(request["outputs"], *session.run())
                answer = {}
            else:
                if request.get("warm", True):
                    session.run()  # wakes threads and caches up after the other peers' turn
                times = []
                for _ in range(request["runs"]):
                    start = time.perf_counter()
                    session.run()
                    times.append((time.perf_counter() - start) * 1e3)
                answer = {"ms": times}
        except Exception as error:  # reported by the driver, with the peer's name
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=reply, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main(sys.argv[1])
