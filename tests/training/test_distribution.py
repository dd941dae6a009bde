"""Several devices and workers train as one device does, and end with one line if a worker fails."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from faults.programs import SCRIPTS, Finished, RunningProgram, run_program

from deconv_ae.data import replica_batches, training_batches
from deconv_ae.errors import InputError
from deconv_ae.training.cluster import free_ports, tf_config
from deconv_ae.training.distribution import check_replicas, make_strategy

HERE = Path(__file__).parent
# 613 images in batches of 51: neither 2 nor 4 replicas can share a batch evenly, and the last batch has 1 image.
TRAINING = ("cmap3_pool4", "613", "51")


def start_workers(
    stack: ExitStack, program: str, argument_lists: Sequence[Sequence[str]], directory: Path
) -> list[RunningProgram]:
    """Starts a process per list of arguments. The processes form a cluster on the loopback interface."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(argument_lists))]
    return [
        stack.enter_context(
            RunningProgram(program, arguments, directory, environment={"TF_CONFIG": tf_config(addresses, index)})
        )
        for index, arguments in enumerate(argument_lists)
    ]


def finish(workers: Sequence[RunningProgram]) -> list[Finished]:
    return [worker.finish() for worker in workers]


# ------------------------------------------------------------------------------- The same results


@pytest.fixture(scope="module")
def one_device_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Weights and RMSEs of a run on one device, to compare others with."""
    directory = tmp_path_factory.mktemp("one")
    finished = run_program(str(HERE / "train_program.py"), ["one.npz", "none", "1", *TRAINING], directory)
    assert finished.status == 0, finished.stderr
    return dict(np.load(directory / "one.npz"))


def assert_close(results: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(results[name], value, rtol=0, atol=1e-5)


def test_mirrored_devices_train_as_one_device(one_device_results: dict[str, np.ndarray], tmp_path: Path) -> None:
    arguments = ["mirrored.npz", "mirrored", "2", *TRAINING]
    finished = run_program(str(HERE / "train_program.py"), arguments, tmp_path)
    assert finished.status == 0, finished.stderr
    assert_close(dict(np.load(tmp_path / "mirrored.npz")), one_device_results)


@pytest.mark.parametrize("worker_count", [2, 4])
@pytest.mark.long
def test_workers_get_identical_weights_close_to_those_of_one_device(
    one_device_results: dict[str, np.ndarray], tmp_path: Path, worker_count: int
) -> None:
    arguments = [[f"worker-{index}.npz", "multi_worker", "1", *TRAINING] for index in range(worker_count)]
    with ExitStack() as stack:
        for finished in finish(start_workers(stack, str(HERE / "train_program.py"), arguments, tmp_path)):
            assert finished.status == 0, finished.stderr
            # As one device does, each worker prints the training RMSE over all images, not over its own share.
            assert "training RMSE 0.3234" in finished.stdout
    chief, *others = (dict(np.load(tmp_path / f"worker-{index}.npz")) for index in range(worker_count))
    assert_close(chief, one_device_results)
    for other in others:
        for name, value in chief.items():
            np.testing.assert_array_equal(other[name], value)


@pytest.mark.parametrize(("count", "batch_size", "num_replicas"), [(10, 4, 1), (10, 4, 2), (9, 8, 3), (10, 7, 4)])
def test_shares_hold_every_image_of_a_batch_once(count: int, batch_size: int, num_replicas: int) -> None:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    steps = 2 * -(-count // batch_size)
    batches = [batch.numpy() for batch, _ in training_batches(images, batch_size, seed=3, first_step=1).take(steps)]
    shares = [
        list(replica_batches(images, batch_size, 3, 1, range(replica, replica + 1), num_replicas).take(steps))
        for replica in range(num_replicas)
    ]
    for step, batch in enumerate(batches):
        step_shares = [share[step] for share in shares]
        np.testing.assert_array_equal(
            np.concatenate([part.numpy()[weights > 0] for part, weights in step_shares]), batch
        )
        assert sum(float(sum(weights)) for _, weights in step_shares) == pytest.approx(1)


def test_keras_alone_still_cannot_train_several_workers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ends = finish(start_workers(stack, str(HERE / "plain_keras_program.py"), [[], []], tmp_path))
    keras_can_train = [end.status for end in ends] == [0, 0]
    assert not keras_can_train, (
        "keras issue 20585 is mended: see whether distribution.ReplicatedTraining is still needed"
    )
    assert "PerReplica" in ends[0].stderr


# ------------------------------------------------------------------------------- Faults

RUN_FLAGS = ("--dataset=mnist_5k", "--batch_size=400", "--epochs=5")
CLUSTER_FLAGS = (*RUN_FLAGS, "--checkpoint_every=3", "--strategy=multi_worker")


@pytest.mark.long
def test_cluster_stops_together_notices_lost_worker_and_resumes(tmp_path: Path) -> None:
    def start(stack: ExitStack, *arguments: str) -> list[RunningProgram]:
        flags = [*CLUSTER_FLAGS, "--run_dir=run", *arguments]
        return start_workers(stack, "train.py", [[*flags, f"--export_dir=model-{index}"] for index in (0, 1)], tmp_path)

    def checkpoints() -> list[str]:
        return sorted(file.name for file in (tmp_path / "run" / "checkpoints").glob("step-*"))

    with ExitStack() as stack:
        chief, other = start(stack)
        chief.wait_until(checkpoints)
        other.stop(signal.SIGTERM)
        ends = finish([chief, other])
    assert [end.status for end in ends] == [143, 143]
    (line,) = {end.stderr for end in ends}
    assert line.startswith("error: stopped by SIGTERM after step ")
    assert f"step-{int(line.split('after step ')[1].split(';')[0]):08d}.keras" == checkpoints()[-1]

    with ExitStack() as stack:
        before = checkpoints()
        chief, other = start(stack, "--resume")
        chief.wait_until(lambda: checkpoints() != before)
        other.stop(signal.SIGKILL)
        end = chief.finish(timeout=60)
    assert end.status == 1
    assert len(end.error_lines) == 1
    assert "a worker was lost" in end.stderr

    with ExitStack() as stack:
        ends = finish(start(stack, "--resume"))
    assert [end.status for end in ends] == [0, 0], ends
    undisturbed = run_program("train.py", [*RUN_FLAGS, "--export_dir=undisturbed"], tmp_path)
    cards = [json.loads((tmp_path / name / "model_card.json").read_text()) for name in ("model-0", "undisturbed")]
    for key in ("training_rmse", "test_rmse"):
        assert cards[0][key] == pytest.approx(cards[1][key], abs=1e-5)
    assert undisturbed.status == 0
    # Only the chief exports a model.
    assert not (tmp_path / "model-1").exists()


@pytest.mark.parametrize("index", [0, 1])
def test_wait_for_missing_worker_ends_after_timeout(tmp_path: Path, index: int) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    arguments = [*CLUSTER_FLAGS, "--worker_timeout=3", "--run_dir=run", "--export_dir=model"]
    environment = {"TF_CONFIG": tf_config(addresses, index)}
    with RunningProgram("train.py", arguments, tmp_path, environment) as worker:
        finished = worker.finish(timeout=30)
    assert finished.status == 1
    assert len(finished.error_lines) == 1, finished.stderr
    assert finished.stderr.startswith(
        f"error: the cluster was not complete after 3 s: waited for {addresses[1 - index]} of TF_CONFIG"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_worker_ends_at_once_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    ports = free_ports(2)
    environment = {"TF_CONFIG": tf_config([f"127.0.0.1:{port}" for port in ports], 0)}

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", ports[0])) == 0

    with RunningProgram(
        "train.py", [*CLUSTER_FLAGS, "--run_dir=run", "--export_dir=model"], tmp_path, environment
    ) as worker:
        assert worker.wait_until(listens)
        worker.stop(number)
        finished = worker.finish(timeout=60)  # Without the signal it would wait 120 s for the other worker.
    assert finished.status == -number
    assert not (tmp_path / "model").exists()


@pytest.mark.long
def test_cluster_of_one_worker_trains_longer_than_the_timeout(tmp_path: Path) -> None:
    flags = ["--dataset=mnist_5k", "--recipe=cntk", "--epochs=30", "--validate_every=0", "--export_dir=model"]
    arguments = [*flags, "--strategy=multi_worker", "--worker_timeout=5"]
    with ExitStack() as stack:
        (finished,) = finish(start_workers(stack, "train.py", [arguments], tmp_path))
    assert finished.status == 0, finished.stderr


@pytest.mark.long
def test_hanging_worker_ends_the_others_and_run_resumes(tmp_path: Path) -> None:
    def start(stack: ExitStack, *arguments: str) -> list[RunningProgram]:
        flags = [*CLUSTER_FLAGS, "--run_dir=run", "--export_dir=model", *arguments]
        return start_workers(stack, "train.py", [flags, flags], tmp_path)

    def checkpoints() -> list[str]:
        return sorted(file.name for file in (tmp_path / "run" / "checkpoints").glob("step-*"))

    with ExitStack() as stack:
        chief, other = start(stack, "--worker_timeout=15")
        chief.wait_until(checkpoints)
        other.stop(signal.SIGSTOP)
        end = chief.finish(timeout=40)
    assert end.status == 1
    assert len(end.error_lines) == 1, end.stderr
    assert "with --resume to go on from the last checkpoint" in end.stderr
    saved = checkpoints()
    assert saved

    with ExitStack() as stack:
        ends = finish(start(stack, "--resume"))
    assert [end.status for end in ends] == [0, 0], ends
    assert checkpoints() > saved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "TF_CONFIG: is not set"),
        ("{", "TF_CONFIG: '{' does not name a cluster"),
        ("[]", "TF_CONFIG: '[]' does not name a cluster"),
        ('{"cluster": {"worker": ["host:1"]}}', "does not name a cluster and a worker in it"),
        ('{"cluster": {"worker": ["host:1"]}, "task": {"type": "worker", "index": 1}}', "does not name a cluster"),
        ('{"cluster": {"worker": ["host:1"]}, "task": {"type": "cook", "index": 0}}', "does not name a cluster"),
    ],
)
def test_tf_config_without_cluster_or_worker_is_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as raised:
        make_strategy("multi_worker")
    assert message in str(raised.value)
    assert '{"cluster"' in str(raised.value)


@pytest.mark.parametrize(
    ("batch_size", "jit_compile", "message"),
    [
        (1, "auto", "batch_size: 1 cannot be shared by 2 replicas; give 2 or more"),
        (8, "true", "jit_compile: XLA cannot compile a step of several replicas"),
    ],
)
def test_options_impossible_with_replicas_are_refused(batch_size: int, jit_compile: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_replicas(2, batch_size, jit_compile)


# ------------------------------------------------------------------------------- The launcher


def launch(*arguments: str, directory: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPTS / "launch_local_workers.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, timeout=120)


@pytest.mark.long
def test_launcher_runs_a_local_cluster(tmp_path: Path) -> None:
    done = launch(
        "2", "--", "--dataset=mnist_5k", "--batch_size=100", "--epochs=1", "--export_dir=m", directory=tmp_path
    )
    assert done.returncode == 0, done.stderr
    # The launcher shows the output of one worker, not of both.
    assert [done.stdout.count(line) for line in ("51 parameters", "epoch 1/1 training RMSE", "result ")] == [1, 1, 1]
    assert (tmp_path / "m" / "model_card.json").is_file()


@pytest.mark.parametrize("arguments", [[], ["2"], ["two", "--"], ["0", "--"], ["--", "2"]])
def test_launcher_prints_usage_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    done = launch(*arguments, directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: usage:")
    assert len(done.stderr.splitlines()) == 1
