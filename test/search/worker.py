"""A worker of `attune-eval 1` whose manners its argument says; scores are a formula of the genes."""

import json
import os
import signal
import sys
import time

manner = sys.argv[1] if len(sys.argv) > 1 else "good"


def say(**message):
    print(json.dumps(message), flush=True)


if manner == "silent":
    time.sleep(60)
if manner == "dead":
    sys.exit(3)
if manner == "chatty":
    print("Loading data ...", flush=True)
say(hello={"protocol": 1})

tried = set()
for line in sys.stdin:
    message = json.loads(line)
    if "eval" not in message:
        continue
    job = message["eval"]
    number, first = job["id"], job["genes"][0]
    score = sum((i + 1) * gene for i, gene in enumerate(job["genes"]))
    if manner == "crash" and first == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    if manner == "exit" and first == 0:
        sys.exit(5)
    if manner == "slow" and first == 0:
        time.sleep(60)
    if manner == "memory" and first == 0:
        held = bytearray(1 << 31)
    if manner == "flood" and first == 0:
        os.write(1, b"epoch\n" * (1 << 20))
    if manner == "quotes" and first == 0:
        # A path that ends with a backslash, and a NaN in a text.
        sys.stdout.write(f'{{"error": {{"id": {number}, "path": "C:\\\\", "message": "NaN"}}}}\n')
        sys.stdout.flush()
        continue
    if manner == "cut":
        os.write(1, ("x" * 79 + "ä" + "\n").encode())
    if manner == "endless":
        sys.stdout.write(
            f'{{"result": {{"id": {number}, "seconds": 1e999, "metrics": {{"score": 1}}}}}}\n'
        )
        sys.stdout.flush()
        continue
    if manner == "babble" and first == 0:
        print("epoch 1 done", flush=True)
    if manner == "nan" and first == 0:
        score = float("nan")
    if manner == "retry" and number not in tried:
        tried.add(number)
        say(error={"id": number, "message": "try again", "retryable": True})
        # The study sends the same job once more.
        continue
    if manner == "refuse":
        say(error={"id": number, "message": "cannot train this"})
        continue
    stopped = False
    for step in job.get("rungs", []):
        say(progress={"id": number, "step": step, "metrics": {"score": score * step}})
        if manner == "obedient":
            time.sleep(0.01)
    say(result={"id": number, "metrics": {"score": score}, "seconds": 0.5})
