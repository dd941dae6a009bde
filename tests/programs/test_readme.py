"""The README's programs run as written, in its order, and its pictures and files are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.splitlines()[-1][:40])
def test_python_runs(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(program, "README.md", "exec"), {})


def test_files_that_are_linked_or_run_exist() -> None:
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", prose) if "://" not in link]
    programs = re.findall(r"(?:python|bash) (scripts/\w+\.\w+)", README)
    assert links
    assert programs
    assert [path for path in links + programs if not (ROOT / path).exists()] == []
