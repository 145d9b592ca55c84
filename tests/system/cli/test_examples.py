# SPDX-License-Identifier: MIT
"""Each example of the README and of the daemon's manual pages starts as it stands, and serves a client."""

import grp
import os
import re
import socket
import subprocess

import pytest

from support.examples import Scene, answers, is_inherited, is_private, of_page
from support.proxy import REPOSITORY, SOCKFRONT, clean_environment, run
from support.stage import endpoint

PAGES = ["README.md", "daemon/sockfront.8", "daemon/sockfront-migrate.7", "conf/sockfront.conf.5"]

# What is no example of sockfront's, by how it begins, and where else it is run.
OTHERS = [
    (r"make\b", "this is how the tests themselves are run"),
    (r"cc server\.c", "install/test_installed_library.py"),
    (r"sudo apt-get install debhelper", "install/test_packages.py"),
    (r"systemctl reload sockfront", "tests/vm/guest/test_installed.py"),
    (r"# systemctl kill -s USR2", "tests/vm/guest/test_installed.py"),
    (r"# systemctl status web\.socket", "tests/vm/guest/test_lock_out.py"),
    (r"# install sockfront ", "lifecycle/test_upgrade_loses_nothing.py"),
    (r"polkit\.addRule", "tests/vm/guest/test_units_on_demand.py"),
    (r"ip rule add", "backend/test_backend_source.py"),
    (r"id=3f9a5c0de41b7702 ", "cli/test_log_lines.py"),
    (r"/var/log/sockfront/access\.log \{", "lifecycle/test_access_log_file.py"),
    (r"\$ ssh -L ", "ssh does that; the socket is asked in status/test_who_may_ask.py"),
]

EXAMPLES = [example for page in PAGES for example in of_page(page) if example.title != "Before:"]
CONFIGURATIONS = [example for example in EXAMPLES if example.is_configuration or example.is_of_a_section]
COMMANDS = [(example, words) for example in EXAMPLES for words in example.commands()]
OPTION_ALONE = {"--access-log", "--unix-listen-unlink", "--check"}


def test_no_example_is_left_out():
    run_here = {*CONFIGURATIONS, *(example for example, _ in COMMANDS)}
    left = [example.text for example in EXAMPLES
            if example not in run_here and not any(re.match(begin, example.text) for begin, _ in OTHERS)]
    assert not left
    assert len(EXAMPLES) >= 35 and len(COMMANDS) >= 18 and len(CONFIGURATIONS) >= 12


def test_those_that_others_run_are_there():
    unused = [begin for begin, _ in OTHERS if not any(re.match(begin, example.text) for example in EXAMPLES)]
    assert not unused
    for _, where in OTHERS:
        for path in re.findall(r"\S+\.py", where):
            assert any(os.path.exists(os.path.join(REPOSITORY, top, path)) for top in ("", "tests/system"))


def text_of(example):
    """What belongs around the lines of a section, and a proxy where [status] stands alone."""
    proxy = "[proxy example]\nlisten = 127.0.0.1:8081\n"
    if example.text.startswith("[status]"):
        return f"{proxy}backend = 127.0.0.1:8080\n{example.text}"
    return example.text if example.is_configuration else proxy + example.text


def values(text, key):
    return re.findall(rf"^{key} = (.*?)(?: +;.*)?$", text, re.M)


@pytest.mark.parametrize("example", CONFIGURATIONS, ids=str)
def test_configuration(stage, example):
    text = text_of(example)
    path = stage.file("example.conf", text)
    status, _, log = run("--check", "-c", path)
    assert (status, log) == (0, ""), text
    proxies, _, questions = text.partition("[status]\n")
    listens, backends, asked = values(proxies, "listen"), values(proxies, "backend"), values(questions, "listen")
    assert "[proxy" not in questions
    if any(is_inherited(listen) or not is_private(listen) for listen in listens):
        return
    scene = Scene(stage)
    scene.start(["-c", path], listens, asked)
    for address in asked:
        scene.ask(address)
    if all([scene.serve(backend) for backend in backends]):
        for listen in listens:
            scene.visit(listen)


def words_of(arguments):
    """Those that are no option and no option's value."""
    words, is_value = [], False
    for word in arguments:
        if not is_value and not re.match("-.", word):
            words.append(word)
        is_value = not is_value and word.startswith("--") and "=" not in word and word not in OPTION_ALONE
    return words


def replace_value(arguments, option, value):
    if option in arguments:
        arguments[arguments.index(option) + 1] = value


@pytest.mark.parametrize("example, words", COMMANDS, ids=str)
def test_command(stage, example, words):
    arguments = words[1:]
    replace_value(arguments, "-c", os.path.join(REPOSITORY, "conf/sockfront.conf"))
    replace_value(arguments, "--output", stage.directory)
    mode = "--units" if "--units" in arguments else "--check"
    status, _, log = run(mode, *(word for word in arguments if word != mode))
    assert (status, log) == (0, ""), arguments
    if "-c" in arguments:
        return
    *listens, backend = words_of(arguments)
    scene = Scene(stage)
    if listens == ["-"]:
        serve_its_stdin(stage, scene, arguments, backend)
    elif is_inherited(listens[0]):
        serve_under_systemd(stage, scene, arguments, listens[0], backend)
    else:
        serve(scene, arguments, listens, backend)


def serve(scene, arguments, listens, backend):
    usable = [listen for listen in listens if is_private(listen)]
    scene.start([word for word in arguments if word in usable or word not in listens], usable)
    assert scene.serve(backend)
    for listen in usable:
        scene.visit(listen)


def serve_its_stdin(stage, scene, arguments, backend):
    assert scene.serve(backend)
    client, theirs = map(stage.keep, socket.socketpair())
    with scene.network.run(subprocess.Popen, [SOCKFRONT, *arguments], stdin=theirs, stdout=theirs) as process:
        theirs.close()
        answers(client)
        client.close()
        assert process.wait(20) == 0


def serve_under_systemd(stage, scene, arguments, listen, backend):
    """With a socket as descriptor 3."""
    assert scene.serve(backend)
    listener = scene.network.run(stage.listener)
    family, where = endpoint("%s:%d" % listener.getsockname()[:2])
    names = listen.partition(":")[2].replace("*", "any")
    scene.network.run(stage.handed, [listener], *arguments, names=names or None)
    client = stage.keep(scene.network.run(socket.socket, family))
    client.connect(where)
    answers(client)


def test_step_by_step(stage):
    """The file that they write, by itself; tests/vm/guest/test_readme.py runs all of them under systemd."""
    (steps,) = [example.text for example in of_page("README.md") if "sudo tee" in example.text]
    (text,) = re.findall(r"^sudo tee /etc/sockfront/web\.conf <<END\n(.*?)^END$", steps, re.M | re.S)
    path = stage.file("web.conf", text)
    (listen,), (backend,) = values(text, "listen"), values(text, "backend")
    assert f"curl --unix-socket {listen} " in steps
    status, units, log = run("--units", "-c", path)
    assert status == 0, log
    for line in ("# web.socket", f"ListenStream={listen}", "SocketMode=0660",
                 f"SocketGroup={grp.getgrnam('www-data').gr_gid}"):
        assert f"\n{line}\n" in f"\n{units}"
    scene = Scene(stage)
    scene.start(["-c", path], [listen])
    assert scene.serve(backend)
    scene.visit(listen)


def test_sample_configuration_has_every_example_right(stage):
    """What is commented out there as an example is accepted, each line in turn."""
    with open(os.path.join(REPOSITORY, "conf/sockfront.conf")) as file:
        text, second, rest = file.read().partition("#[proxy database]\n")
    whole = text + re.sub("^#(?=[a-z[])", "", second + rest, flags=re.M)
    status, _, log = run("--check", "-c", stage.file("whole.conf", whole))
    assert second and (status, log) == (0, ""), whole
    lines = [match.start() for match in re.finditer(r"^#(?=[a-z-]+ = )", text, re.M)]
    assert len(lines) > 40
    for at in lines:
        path = stage.file("sample.conf", text[:at] + text[at + 1:])
        line = text[at + 1:].split("\n")[0]
        done = subprocess.run([SOCKFRONT, "--check", "-c", path], env=clean_environment(), capture_output=True)
        needs_more = re.match("(exit-idle-time|backend-unit-idle) = [0-9]|backend = .* backup$", line)
        assert done.returncode == 0 or needs_more, (line, done.stderr)
