"""Runs programs of scripts/ as they start from a shell, and says how each ended and what it had loaded by then.

Each is forked from this process, which has loaded nothing: Python's own start is paid once.

python answer_program.py SCRIPTS '[["train.py", "--help"], ...]'
"""

import json
import os
import runpy
import sys
import tempfile

LOADED_IN_SECONDS = ("tensorflow", "keras", "numpy", "matplotlib", "PIL", "absl.testing")


def answer(scripts: str, command: list[str]) -> dict[str, object]:
    with (
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
        tempfile.TemporaryFile("w+") as report,
    ):
        child = os.fork()
        if not child:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            sys.argv = command
            try:
                runpy.run_path(f"{scripts}/{command[0]}", run_name="__main__")
            except SystemExit as ended:
                loaded = [name for name in LOADED_IN_SECONDS if name in sys.modules]
                json.dump({"status": ended.code, "loaded": loaded}, report)
                report.flush()
            os._exit(0)
        os.waitpid(child, 0)
        for file in (stdout, stderr, report):
            file.seek(0)
        return {"stdout": stdout.read(), "stderr": stderr.read()} | json.loads(report.read() or "{}")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(json.dumps([answer(sys.argv[1], command) for command in json.loads(sys.argv[2])]))
