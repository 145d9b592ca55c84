# SPDX-License-Identifier: MIT
"""What the README shows of units, as it stands there but for the backend's port."""

import grp
import os
import re
import shlex
import socket
import stat
import subprocess

from support.backend import speak_first
from support.streams import exchange
from units import ONLY, commented, contents, output

README = contents("/usr/share/doc/sockfront/README.md")
PORT = 4801  # 8080 is that of an example, whose test may run at the same time


def shown(word):
    """What is indented by four, with that word in it, without the comments of commands."""
    (block,) = [block for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, re.MULTILINE)
                if word in block]
    text = re.sub("^    ", "", block.strip("\n"), flags=re.MULTILINE)
    return re.sub(" +# .*$", "", text, flags=re.MULTILINE).replace("8080", str(PORT)) + "\n"


def connect(units, address, family=socket.AF_INET):
    client = units.keep(socket.socket(family))
    client.connect(address)
    return client


def test_configuration_file(units):
    """Under sockfront.service, which makes a directory for the sockets."""
    units.alone()
    backend = units.backend(port=PORT)
    text = shown("access-log = yes")
    units.configuration("sockfront", text)
    units.start(ONLY)
    listens = re.findall("^listen = (.*)$", text, re.MULTILINE)
    assert len(listens) >= 3
    for listen in listens:
        units.wait_log(ONLY, f"(listening|status) on {re.escape(listen)}")
    exchange(connect(units, "/run/sockfront/web.sock", socket.AF_UNIX), units.accept(backend))
    exchange(connect(units, ("::1", 8443), socket.AF_INET6), units.accept(backend))


ASKS_AS_WWW_DATA = ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups",
                   "socat", "-t", "60", "-"]


def command_of(line):
    return shlex.split(line.removeprefix("sudo "))


def test_step_by_step(units):
    """With another name and port, and socat where there is no curl."""
    backend = units.backend(speak_first(b"served"), port=PORT)
    steps = shown("sudo -u www-data").replace("web", "vm-steps")
    writing = re.search("^sudo tee (.*) <<END\n(.*?)^END\n", steps, re.MULTILINE | re.DOTALL)
    assert steps[:writing.start()].splitlines()[1:] == [f"sudo mkdir -p {os.path.dirname(writing[1])}"]
    units.file(*writing.groups())
    check, make, reload, enable, client = steps[writing.end():].splitlines()
    os.makedirs("/etc/systemd/system", exist_ok=True)
    units.used("vm-steps.service", "vm-steps.socket")
    output(*shlex.split(check))
    units.paths += output(*command_of(make)).splitlines()
    for command in reload, enable:
        output(*command_of(command))
    path = "/run/vm-steps.sock"
    assert client.startswith("sudo -u www-data curl ") and f" {path} " in client
    status = os.stat(path)
    assert (stat.S_IMODE(status.st_mode), grp.getgrgid(status.st_gid).gr_name) == (0o660, "www-data")
    assert output(*ASKS_AS_WWW_DATA, f"UNIX-CONNECT:{path}") == "served"
    assert backend.connections
    output("setpriv", "--reuid=nobody", "--clear-groups", "socat", "-", f"UNIX-CONNECT:{path}", status=1)
    output("systemctl", "disable", "vm-steps.socket")


def test_commands_are_those_of_the_unit(_):
    """Which test_installed.py runs."""
    assert shown("systemctl reload") in commented(ONLY)


def test_line_in_a_unit(units):
    """Two .socket units that call theirs by one name."""
    backend = units.backend(port=PORT)
    for name in ("vm-one", "vm-two"):
        units.unit(f"{name}.socket", f"[Socket]\nListenStream=@{name}\nFileDescriptorName=web\n"
                   "Service=vm-readme.service\n")
    units.unit("vm-readme.service", "[Service]\n" + shown("ExecStart="))
    units.used("vm-readme.service")
    units.start("vm-one.socket", "vm-two.socket")
    for name in ("vm-one", "vm-two"):
        exchange(connect(units, f"\0{name}", socket.AF_UNIX), units.accept(backend))


def test_command_that_lends_a_server_socket_activation(units):
    units.alone()  # port 80 is used by another test
    backend = units.backend(port=80)
    (command,) = [line for line in shown("systemd-socket-activate").splitlines()
                  if line.startswith("systemd-socket-activate")]
    process = subprocess.Popen(command.split(), stderr=subprocess.PIPE, text=True)
    try:
        assert "8081" in process.stderr.readline()
        exchange(connect(units, ("127.0.0.1", 8081)), units.accept(backend))
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
