"""tf.distribute strategies by name, and everything that Keras's fit lacks to train under them.

On one device, only `make_strategy` and `make_rmse_function` have an effect.

The arithmetic is that of one device. A global batch is cut into one share per replica, and each image weighs the same.
So the sum of the gradients over replicas is the gradient of the mean over the global batch, even for shares of
different sizes, as in an epoch's last batch. (Keras divides each replica's mean by the number of replicas, which is
right for equal shares only.)
"""

import contextlib
import faulthandler
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import EvaluationBatches, replica_batches
from deconv_ae.errors import InputError, RunError, choose, first_line
from deconv_ae.model.objective import per_image_rmse
from deconv_ae.training.cluster import check_tf_config, other_addresses
from deconv_ae.training.interruption import SIGNALS, signals_end_at_once

EXIT_FAILED = 1


def _auto_strategy(worker_timeout: float) -> tf.distribute.Strategy:
    has_several_gpus = len(tf.config.list_logical_devices("GPU")) > 1
    return _mirrored_strategy(worker_timeout) if has_several_gpus else _one_device_strategy(worker_timeout)


def _one_device_strategy(worker_timeout: float) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored_strategy(worker_timeout: float) -> tf.distribute.Strategy:
    check_tf_config("mirrored")
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker_strategy(worker_timeout: float) -> tf.distribute.Strategy:
    others = other_addresses(os.environ.get("TF_CONFIG", ""))
    complaint = (
        f"the cluster was not complete after {worker_timeout:g} s: waited for {', '.join(others)} of TF_CONFIG; "
        "see that each is started and can be reached, or wait longer with --worker_timeout"
    )
    try:
        with _end_after(worker_timeout, complaint), signals_end_at_once():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, tf.errors.OpError) as error:
        raise RunError(f"strategy: the cluster cannot be joined: {first_line(error)}") from error


_MAKERS: dict[str, Callable[[float], tf.distribute.Strategy]] = {
    "auto": _auto_strategy,
    "mirrored": _mirrored_strategy,
    "multi_worker": _multi_worker_strategy,
    "none": _one_device_strategy,
}


def make_strategy(name: str, worker_timeout: float = 120.0) -> tf.distribute.Strategy:
    """Makes the strategy to build and train a model under.

    Args:
        name: a key of `options.STRATEGIES`. "none" is one device. "mirrored" has a replica on every visible GPU, or
            on every logical CPU if there is no GPU. "auto" is "mirrored" with several GPUs, else "none".
            "multi_worker" joins the cluster of the environment variable TF_CONFIG; make this strategy before TensorFlow
            runs anything.
        worker_timeout: seconds to wait for the complete cluster. If the cluster is still incomplete then, the process
            ends with one line and status 1.

    Returns:
        The strategy.

    Raises:
        InputError: if the name is unknown, or `check_tf_config` raises it.
        RunError: if the cluster cannot be joined.
    """
    return choose("strategy", name, _MAKERS)(worker_timeout)


_PRINT_LATER = """
import select, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    print("error:", sys.argv[2], file=sys.stderr, flush=True)
"""


@contextlib.contextmanager
def _end_after(seconds: float, complaint: str) -> Iterator[None]:
    """A context that ends the process with one line and status 1 if its block takes longer than this many seconds.

    Joining a cluster holds Python's global lock until every worker has come. So a Python thread, such as the
    Watchdog's, cannot end the process. Instead, another process prints the line, and faulthandler's timer, which needs
    no lock, ends this process just after.
    """
    reporter = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PRINT_LATER, str(seconds), complaint], stdin=subprocess.PIPE
    )
    with Path(os.devnull).open("w") as nowhere:  # Drops faulthandler's report: the complaint says more.
        faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    if reporter.poll() is not None:  # The line was printed, so the process ends although the last worker has come.
        os._exit(EXIT_FAILED)
    reporter.communicate()  # Closes standard input, at which the reporter ends without printing.


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this is the process that writes checkpoints, logs and the model."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if resolver.task_type == "worker":
        return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    return resolver.task_type == "chief"


def check_replicas(replicas: int, batch_size: int, jit_compile: str) -> None:
    """Raises InputError for options that this number of replicas does not allow."""
    if batch_size < replicas:
        raise InputError(f"batch_size: {batch_size} cannot be shared by {replicas} replicas; give {replicas} or more")
    if replicas > 1 and jit_compile == "true":
        raise InputError("jit_compile: XLA cannot compile a step of several replicas; pass auto or false")


def global_batches(
    strategy: tf.distribute.Strategy, images: np.ndarray, batch_size: int, seed: int, first_step: int
) -> Any:
    """Makes the same batches as `training_batches`, each cut into one share per replica of the strategy."""

    def local_shares(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas_here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * replicas_here
        replicas = range(first, first + replicas_here)
        return replica_batches(images, batch_size, seed, first_step, replicas, context.num_replicas_in_sync)

    return strategy.distribute_datasets_from_function(local_shares)


def make_rmse_function(
    strategy: tf.distribute.Strategy, images: np.ndarray, feed: Callable[[], None]
) -> Callable[[keras.Model], float]:
    """Makes a function that computes a model's mean per-image RMSE. Every worker of a cluster evaluates its share.

    Args:
        strategy: the model's strategy.
        images: `(N, height, width, channels)` uint8.
        feed: the function to call after every batch, to feed the watchdog.

    Returns:
        The function.
    """
    worker, workers = _place_in_cluster(strategy)
    first, end = (number * len(images) // workers for number in (worker, worker + 1))

    def rmse_sum(model: keras.Model, batch: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(per_image_rmse(batch, model(batch, training=False)), tf.float64))

    batches = EvaluationBatches(images, first=first, end=end)
    if len(batches) > 1:  # For a single batch, tracing a graph takes longer than the graph saves.
        rmse_sum = tf.function(rmse_sum, reduce_retracing=True)

    def rmse(model: keras.Model) -> float:
        local_sum = 0.0
        for batch in batches:
            local_sum += float(rmse_sum(model, batch))
            feed()
        sums = [local_sum] if workers == 1 else strategy.gather(tf.constant([local_sum], tf.float64), axis=0).numpy()
        return float(sum(sums)) / len(images)

    return rmse


def _place_in_cluster(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Returns this process's index among the training processes, and how many training processes there are."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0, 1
    jobs = resolver.cluster_spec().as_dict()
    tasks = [(job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, ())))]
    return tasks.index((resolver.task_type, resolver.task_id)), len(tasks)


class ReplicatedTraining:
    """Lets Keras's fit train a model under a strategy of several replicas, in one process or many.

    This class works around errors of Keras 3 (keras issue 20585; seen with 3.15.1). `_maybe_symbolic_build` averages a
    first batch over replicas, which fails for shares of different sizes and in several processes. `reduce_per_replica`
    reduces scalar logs of several workers over an axis that scalars lack. So this class replaces Keras's train
    function, and makes `_maybe_symbolic_build` a no-op, because the model is already built. A test in
    tests/training/test_distribution.py fails once Keras no longer needs this class.

    The train function also tells all workers which signals any worker has received, so that all stop after the same
    step.

    Args:
        model: compiled under the strategy, with all its variables made.
        strategy: a strategy with several replicas.
        get_received_signal: returns the number of the signal that this process has received, or 0.
        watchdog: its `feed` is called after every step.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        get_received_signal: Callable[[], int],
        watchdog: "Watchdog",
    ) -> None:
        self._model = model
        self._strategy = strategy
        self._get_received_signal = get_received_signal
        self._watchdog = watchdog
        self._log_names: list[str] = []
        self._shared_signal = 0
        self._step = tf.function(self._global_step, reduce_retracing=True)
        model._maybe_symbolic_build = lambda *_, **__: None
        model.train_function = self._train

    def shared_signal(self) -> int:
        """Returns the number of the signal that stops all workers, whichever worker received it; 0 without a signal."""
        return self._shared_signal

    def _train(self, iterator: Iterator) -> dict[str, tf.Tensor]:
        signal_flags = tf.constant([self._get_received_signal() == number for number in SIGNALS], tf.float32)
        means = self._step(next(iterator), signal_flags).numpy()
        self._watchdog.feed()
        logs, signal_means = means[: -len(SIGNALS)], means[-len(SIGNALS) :]
        self._shared_signal = next((int(number) for number, mean in zip(SIGNALS, signal_means) if mean > 0), 0)
        return dict(zip(self._log_names, logs))

    def _global_step(self, share: Any, signal_flags: tf.Tensor) -> tf.Tensor:
        """Trains one step and returns the means of logs and signals over the replicas.

        The means are one vector, so that one reduction suffices.
        """

        def replica_step(share: Any, signal_flags: tf.Tensor) -> tf.Tensor:
            logs = self._replica_step(*share)
            self._log_names = list(logs)
            return tf.concat([tf.stack(list(logs.values())), signal_flags], axis=0)

        vectors = self._strategy.run(replica_step, args=(share, signal_flags))
        return self._strategy.reduce("SUM", vectors, axis=None) / self._strategy.num_replicas_in_sync

    def _replica_step(self, images: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """Replaces Keras's `train_step`, for one replica's share of a batch.

        Each image's weight is its part in the mean over the whole batch. So the sum of all replicas' losses is the
        batch's mean loss, even if the shares differ in size.
        """
        model = self._model
        with tf.GradientTape() as tape:
            reconstruction = model(images, training=True)
            errors = model.loss.call(images, reconstruction)
            loss = model.optimizer.scale_loss(tf.reduce_sum(errors * weights))
        # The optimizer sums the gradients over the replicas.
        gradients = tape.gradient(loss, model.trainable_weights)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_weights))
        # An image of weight 0 only fills an empty share.
        metric_weights = tf.cast(weights > 0, tf.float32)
        loss_metric, compiled_metrics = model.metrics
        loss_metric.update_state(errors, sample_weight=metric_weights)
        for metric in compiled_metrics.metrics:
            metric.update_state(images, reconstruction, sample_weight=metric_weights)
        return model.get_metrics_result()


class Watchdog:
    """Ends the process with one line when the process has waited too long for another worker.

    TensorFlow's collectives notice a dead worker. But they wait for ever for a worker that hangs or never came.

    Args:
        seconds: the longest time between two calls of `feed`, and between the watchdog's creation and the first call;
            None never ends the process.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._fed_at = time.monotonic()
        self._ended = threading.Event()

    def feed(self) -> None:
        self._fed_at = time.monotonic()

    def __enter__(self) -> "Watchdog":
        if self._seconds is not None:
            threading.Thread(target=self._watch, args=(self._seconds,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self, seconds: float) -> None:
        while not self._ended.wait(min(1.0, seconds / 4)):
            if time.monotonic() - self._fed_at > seconds:
                sys.stdout.flush()
                print(
                    f"error: no step was finished for {seconds:g} s, so a worker hangs or died; "
                    "end all workers and start them again, with --resume to go on from the last checkpoint",
                    file=sys.stderr,
                    flush=True,
                )
                # The main thread waits in a collective and cannot be interrupted.
                os._exit(EXIT_FAILED)


def make_watchdog(strategy: tf.distribute.Strategy, seconds: float) -> Watchdog:
    """Makes a watchdog for a cluster. With one replica or without a cluster, it never ends the process."""
    return Watchdog(seconds if strategy.cluster_resolver is not None and strategy.num_replicas_in_sync > 1 else None)


_NOISE = ("Graph execution error", "Detected at node", "{{node", "<stack traces", 'File "', "additional GRPC error")


@contextlib.contextmanager
def report_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """A context that turns TensorFlow's error in the surviving workers of a cluster into a RunError of one line."""
    try:
        yield
    except tf.errors.OpError as error:
        if strategy.cluster_resolver is None:
            raise
        # TensorFlow's message also lists the graph's nodes and Python's stack.
        lines = [line.strip() for line in str(error.message).splitlines()]
        reasons = [line for line in lines if line and not any(noise in line for noise in _NOISE)]
        reason = reasons[-1] if reasons else type(error).__name__
        raise RunError(
            f"a worker was lost ({reason}); start all workers again, with --resume to go on from the last checkpoint"
        ) from error


def check_steps_agree(strategy: tf.distribute.Strategy, step: int) -> None:
    """Raises RunError on every worker if they resume from different steps."""
    steps = strategy.gather(tf.constant([step], tf.int64), axis=0).numpy()
    if len(set(steps)) > 1:
        raise RunError(
            f"run_dir: the workers found checkpoints of different steps, {sorted(set(map(int, steps)))}; "
            "run_dir has to be one directory that all workers see"
        )
