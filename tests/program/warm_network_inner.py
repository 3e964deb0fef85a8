"""What test_warm.py runs in a network namespace that has a world of its own: a default route, a server elsewhere, a resolver.
PROGRAM GUEST as arguments."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

from fake_runner import FakeRunner, bash_script  # noqa: E402
from network_inner import with_small_image  # noqa: E402

SERVER = "198.51.100.7"


def answer_names():
    """Every name is the server's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind((SERVER, 53))
        while True:
            query, client = resolver.recvfrom(512)
            end = 12
            while query[end]:
                end += query[end] + 1
            kind = query[end + 1:end + 3]
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + socket.inet_aton(SERVER) if kind == b"\x00\x01" else b""
            resolver.sendto(query[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if record else b"\x00\x00") + bytes(4) + query[12:end + 5] + record, client)


def main(program, guest):
    for command in ("link set lo up", "link add out type veth peer name far", "addr add 192.0.2.10/24 dev out", "link set far up", "link set out up", "route add default via 192.0.2.1", f"addr add {SERVER}/32 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    assert SERVER in pathlib.Path("/etc/resolv.conf").read_text()
    seen = []
    server = socket.create_server((SERVER, 8080))

    def greet():
        while True:
            client, address = server.accept()
            seen.append(client.recv(100).decode().strip())
            client.sendall(f"hello {seen[-1]}\n".encode())
            client.close()

    for work in (greet, answer_names):
        threading.Thread(target=work, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="sarde-network-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        runner = FakeRunner(program, with_small_image(program, guest, folder, ""))
        with runner.job(job_id=1, image="h.example/vms/small") as first:
            assert first.prepare() and "Saved the VM's state" in first.result.text, first.result.text
        with runner.job(job_id=2, image="h.example/vms/small") as one, runner.job(job_id=3, image="h.example/vms/small") as two:
            for job in (one, two):
                assert job.prepare() and "instead of booting" in job.result.text, job.result.text
            for job in (one, two, one):
                for address in (SERVER, "server.example"):
                    said = job.run_script(bash_script(f"exec 3<>/dev/tcp/{address}/8080; echo job {job.id} >&3; timeout 20 cat <&3"))
                    assert said.stdout == f"hello job {job.id}\n".encode(), (address, said.stdout, said.stderr)
        # The host's address is another one: so is the kind of VM, and the next one boots.
        for command in ("addr add 192.0.2.77/24 dev out", "addr del 192.0.2.10/24 dev out", "addr add 192.0.2.78/24 dev out", "route replace default via 192.0.2.1 dev out"):
            subprocess.run(["ip", *command.split()], check=True)
        with runner.job(job_id=4, image="h.example/vms/small") as moved:
            assert moved.prepare() and "has booted" in moved.result.text, moved.result.text
            assert moved.run_script(bash_script(f"exec 3<>/dev/tcp/{SERVER}/8080; echo moved >&3; timeout 20 cat <&3")).stdout == b"hello moved\n"
        assert len(seen) == 7
    print("ALL CHECKED")


if __name__ == "__main__":
    main(*sys.argv[1:])
