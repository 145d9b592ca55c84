# SPDX-License-Identifier: MIT
"""The completions, in the shells that they are for: each asks the table of options, as --help does."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
SOCKFRONT = os.environ.get("SOCKFRONT", str(TOP / "build/sockfront"))
COMPLETION = Path(SOCKFRONT).parent / "completion"
LEVELS = ["error", "warning", "notice", "info", "debug"]
POLICIES = ["first", "round-robin", "least-connections", "random", "source"]


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


class Terminal:
    """A shell in which somebody types; it says READY first, and writes what the line is when told so."""

    def __init__(self, line, *command):
        self.line, self.said = line, b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execvp(command[0], [str(word) for word in command])
        self.wait(lambda: b"READY" in self.said)

    def wait(self, there):
        until = time.monotonic() + 120
        while not there():
            assert time.monotonic() < until, self.said
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.said += os.read(self.terminal, 65536)

    def type(self, keys):
        """What the line is then."""
        self.line.unlink(missing_ok=True)
        os.write(self.terminal, f"{keys}\x18".encode())
        self.wait(lambda: self.line.exists() and self.line.read_text().endswith("|"))
        return self.line.read_text()[:-1]

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


class Bash:
    """Its words are split at "=" as by the line editor, whose function is called."""

    def __init__(self, _):
        pass

    def close(self):
        pass

    def complete(self, line):
        words = [part for word in line.split(" ") for part in re.split("(=)", word) if part or "=" not in word]
        script = (f'source {COMPLETION}/sockfront.bash; compopt() {{ :; }}; COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); _sockfront; printf "%s\\n" "${COMPREPLY[@]}"')
        return run("bash", "-c", script, "bash", *words).split()


class Fish:
    def __init__(self, home):
        self.environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}

    def close(self):
        pass

    def complete(self, line):
        said = run("fish", "--no-config", "-c", f"source {COMPLETION}/sockfront.fish; complete -C $argv[1]", line,
                   env=self.environment)
        offers = [offer.split("\t")[0] for offer in said.splitlines()]  # a description follows
        joined = re.search(r"--[^ =]*=(?=\S*$)", line)
        return [offer.removeprefix(joined[0]) if joined else offer for offer in offers]


class Zsh:
    """The line editor in a terminal; what it would offer is written to a file."""

    SETTINGS = """
        PS1=''; unsetopt beep; LISTMAX=9999
        fpath=({home} $fpath); autoload -Uz compinit; compinit -u -D
        compadd() {{
            if [[ " ${{@[1,(i)(-|--)]}}" == *\\ -[OAD]\\ * ]]; then builtin compadd "$@"; return; fi
            local -a offers; builtin compadd -A offers "$@"; (( $#offers )) && print -rl -- $offers >>{home}/offers
            builtin compadd "$@"
        }}
        told() {{ print -rn -- "$BUFFER|" >{home}/line; BUFFER= }}; zle -N told; bindkey '^X' told
        bindkey '^I' complete-word; print READY
    """

    def __init__(self, home):
        shutil.copy(COMPLETION / "sockfront.zsh", home / "_sockfront")
        (home / ".zshrc").write_text(self.SETTINGS.format(home=home))
        self.offers = home / "offers"
        self.terminal = Terminal(home / "line", "env", f"ZDOTDIR={home}", "zsh", "-d", "-i")

    def complete(self, line):
        self.offers.unlink(missing_ok=True)
        self.terminal.type(f"{line}\t")
        return self.offers.read_text().splitlines() if self.offers.exists() else []

    def close(self):
        self.terminal.close()


SHELLS = {"bash": Bash, "fish": Fish, "zsh": Zsh}


@pytest.fixture(params=SHELLS)
def shell(request, tmp_path):
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    shell = SHELLS[request.param](tmp_path)
    yield shell
    shell.close()


def options_of_help():
    said = run(SOCKFRONT, "--help")
    listening = said.partition("Its listening sockets")[2].partition("\n\n")[0]
    of_status = re.findall(r"^  --([a-z0-9-]+)", listening, re.MULTILINE)  # which the help names once
    return {*re.findall(r"(?:^|\s)(--[a-z][a-z0-9-]+)(?=[ \[\n]|$)", said, re.MULTILINE),
            *(f"--status-{name}" for name in of_status)}


def test_every_option_is_offered(shell):
    assert {option.rstrip("=") for option in shell.complete("sockfront --")} == options_of_help()


def test_an_option_is_completed(shell):
    assert [option.rstrip("=") for option in shell.complete("sockfront --half-close")] == ["--half-close-timeout"]
    assert shell.complete("sockfront --no-such") == []


@pytest.mark.parametrize("option, words", [
    ("log-level", LEVELS), ("balance", POLICIES), ("send-proxy-protocol", ["no", "v1", "v2"]),
    ("down-action", ["none", "close"]), ("unix-listen-chmod", ["owner", "group", "everybody"]), ("workers", ["auto"]),
])
def test_words_that_an_option_takes_are_offered(shell, option, words):
    assert sorted(shell.complete(f"sockfront --{option} ")) == sorted(words)
    assert shell.complete(f"sockfront --{option}={words[-1]}") == words[-1:]
    for word in words:
        run(SOCKFRONT, "--check", f"--{option}", word, "@a", "@b")


def test_a_switch_takes_its_word_behind_the_sign_alone(shell):
    assert sorted(shell.complete("sockfront --access-log=")) == ["journal", "json", "logfmt", "no", "yes"]
    assert "sd-listen" in shell.complete("sockfront --access-log sd")
    assert "yes" not in shell.complete("sockfront --access-log y")


def test_values_of_the_machine_are_offered(shell):
    assert "root" in shell.complete("sockfront --unix-listen-uid roo")
    assert "root" in shell.complete("sockfront --unix-listen-gid roo")
    assert "lo" in shell.complete("sockfront --bind-to-device l")


def test_nothing_is_offered_for_what_only_the_user_knows(shell):
    assert shell.complete("sockfront --connect-timeout ") == [] == shell.complete("sockfront --max-connections ")


def test_files_and_addresses(shell, tmp_path):
    (tmp_path / "app.sock").touch()
    for words in ("-c ", "--config ", "--config=", "", "--listen ", "--listen=", ":80 ", "--status-listen ",
                  "--access-log-file ", "--output "):
        (offer,) = shell.complete(f"sockfront {words}{tmp_path}/app")
        assert offer in (f"{tmp_path}/app.sock", "app.sock")
    assert {"sd-listen", "sd-listen:"} <= set(shell.complete("sockfront sd"))
    assert shell.complete("sockfront --backend sr") == ["srv:"]
    assert shell.complete("sockfront --listen sr") == []


@pytest.mark.plain_only("the program writes them, however it was built")
def test_what_is_made_for_bash_is_good_style():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    run("shellcheck", COMPLETION / "sockfront.bash")


def test_bash_completes_while_somebody_types(tmp_path):
    """What the line editor makes of it: a blank behind what is whole, none behind a colon."""
    (tmp_path / "rc").write_text(
        f"PS1=READY; source {COMPLETION}/sockfront.bash; bind 'set bell-style none'\n"
        f"told() {{ printf '%s|' \"$READLINE_LINE\" >{tmp_path}/line; READLINE_LINE=; }}; bind -x '\"\\C-x\": told'\n")
    terminal = Terminal(tmp_path / "line", "bash", "--noprofile", "--rcfile", tmp_path / "rc", "-i")
    try:
        assert terminal.type("sockfront --half-cl\t") == "sockfront --half-close-timeout "
        assert terminal.type("sockfront --log-level=w\t") == "sockfront --log-level=warning "
        assert terminal.type("sockfront acc\t") == "sockfront accept-from-fd:"
    finally:
        terminal.close()
