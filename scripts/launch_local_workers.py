r"""Starts several workers of one training run on this machine.

python scripts/launch_local_workers.py 2 -- --dataset=mnist_5k \
    --run_dir=run --export_dir=model

The workers are processes of a cluster on loopback. Everything after -- goes to
scripts/train.py, with --strategy=multi_worker and a TF_CONFIG for each worker.
The output of worker 0, the chief, is printed unchanged. The other workers print
only errors, and each line begins with the worker's number. SIGINT, SIGTERM and
SIGHUP are passed on. The exit status is 0 if all workers succeed, else that of
the failed worker with the lowest number.
"""

import installed

installed.begin()

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from deconv_ae.training.cluster import free_ports, tf_config
from deconv_ae_programs import process

TRAIN = Path(__file__).with_name("train.py")
MOST_WORKERS = 256
USAGE = f"usage: launch_local_workers.py NUMBER -- FLAGS OF train.py; NUMBER is 1 to {MOST_WORKERS}"


def main(arguments: Sequence[str]) -> int:
    """Starts the workers, waits for them, and returns the exit status."""
    if list(arguments[:1]) in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    if (
        len(arguments) < 2
        or not arguments[0].isdecimal()
        or len(arguments[0]) > 9
        or int(arguments[0]) < 1
        or arguments[1] != "--"
    ):
        return process.print_error(USAGE, 2)
    if int(arguments[0]) > MOST_WORKERS:
        return process.print_error(f"NUMBER: {arguments[0]} is above {MOST_WORKERS}; give fewer workers", 2)
    workers: list[subprocess.Popen] = []
    received_signals: list[int] = []

    def pass_on(signal_number: int, frame: FrameType | None) -> None:
        received_signals.append(signal_number)
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal_number)

    for handled_signal in process.SIGNALS:
        if signal.getsignal(handled_signal) is not signal.SIG_IGN:
            signal.signal(handled_signal, pass_on)
    for worker in launch(int(arguments[0]), arguments[2:]):
        # A signal between `append` and the end of the inner loop would reach the worker twice, so signals are blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)
        workers.append(worker)
        for signal_number in received_signals:  # These came before this worker was in the list.
            worker.send_signal(signal_number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, process.SIGNALS)
    printers = [
        threading.Thread(target=print_errors, args=(index, worker.stderr)) for index, worker in enumerate(workers)
    ]
    for printer in printers:
        printer.start()
    statuses = [worker.wait() for worker in workers]
    for printer in printers:
        printer.join()
    exit_status = next((status for status in statuses if status), 0)
    # The status of a killed process is the negative signal number; shells add 128 to the number.
    return 128 - exit_status if exit_status < 0 else exit_status


def launch(number: int, flags: Sequence[str]) -> Iterator[subprocess.Popen]:
    """Starts the workers; worker 0 writes to this program's own standard output.

    Each worker has its own process group, so that Ctrl-C reaches it once, through this program.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(number)]
    for index in range(number):
        yield subprocess.Popen(
            [sys.executable, str(TRAIN), "--strategy=multi_worker", *flags],
            env=os.environ | {"TF_CONFIG": tf_config(addresses, index)},
            stdout=None if index == 0 else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def print_errors(index: int, lines: IO[str]) -> None:
    """Prints a worker's errors. Each line begins with the worker's number, except for worker 0."""
    for line in lines:
        print(f"worker {index}: {line}" if index else line, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(process.status_after_flush(main(sys.argv[1:])))
