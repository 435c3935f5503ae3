"""`satctl --install-completion` writes what the shells load, and bash completes by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def satctl(home: Path, *arguments: str, shell: str = "/bin/bash") -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "SHELL": shell, "PATH": f"{BIN}:{os.defpath}"}
    return subprocess.run([BIN / "satctl", *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".local/share/bash-completion/completions/satctl"),
        ("zsh", ".zfunc/_satctl"),
        ("fish", ".config/fish/completions/satctl.fish"),
    ],
)
def test_the_script_lies_where_the_shell_looks(shell: str, file: str, tmp_path: Path) -> None:
    done = satctl(tmp_path, "--install-completion", shell)

    assert done.returncode == 0, done.stderr
    assert str(tmp_path / file) in done.stdout
    assert f"_SATCTL_COMPLETE={shell}_complete" in (tmp_path / file).read_text()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / file]


def test_bash_completes_a_command_and_an_option(tmp_path: Path) -> None:
    satctl(tmp_path, "--install-completion")
    script = tmp_path / ".local/share/bash-completion/completions/satctl"

    def completed(*words: str) -> list[str]:
        command = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _satctl_completion satctl"
        )
        shown = f'{command}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        environment = {"HOME": str(tmp_path), "PATH": f"{BIN}:{os.defpath}"}
        done = subprocess.run(["bash", "-c", shown], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("satctl", "repr") == ["reprocess"]
    assert completed("satctl", "--deb") == ["--debug"]


def test_a_shell_that_is_not_supported_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    done = satctl(tmp_path, "--install-completion", shell="/bin/tcsh")

    assert (done.returncode, done.stdout) == (2, "")
    assert "the shell is tcsh; name one of bash, zsh, fish" in done.stderr
    assert list(tmp_path.iterdir()) == []
