#!/usr/bin/python3
"""hostile_sshd.py MODE PORT_FILE: an SSH server on loopback that lets everybody in, and then misbehaves. It serves until it is killed.

  at-once    answers a command with its output, exit status, end and close in one segment with the answer itself
  channels   opens channels towards the client without end, while a command runs for SECONDS (third argument)
  forever    a command never ends
  ignores    closes a command's channel instead of answering
  busy       does the same while an earlier command is running, as if that ended just then; else as at-once
"""
import os
import socket
import sys
import threading
import time

import paramiko
from paramiko.common import cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_DATA, cMSG_CHANNEL_EOF, cMSG_CHANNEL_REQUEST, cMSG_CHANNEL_SUCCESS
from paramiko.message import Message

MODE, PORT_FILE = sys.argv[1:3]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 0
KEY = paramiko.ECDSAKey.generate()


def marker_of(command):
    """The line behind which a script's own output begins: the words of the command say it (core/guest/guest_commands)."""
    return command.split(b"!= ")[1].split(b" ")[0]


class Server(paramiko.ServerInterface):
    def __init__(self, transport):
        self.transport = transport
        self.is_busy = False

    def get_allowed_auths(self, username):
        return "password"

    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        if b"rm -rf" in command:
            if MODE == "busy":
                self.is_busy = True
                threading.Thread(target=self.end_late, args=(channel,), daemon=True).start()
            return True
        if MODE == "ignores" or self.is_busy:
            self.ignore(channel)
        elif MODE in ("at-once", "busy"):
            self.answer_in_one(channel, marker_of(command))
        else:
            threading.Thread(target=self.misbehave, args=(channel, marker_of(command)), daemon=True).start()
        return True

    def message(self, kind, channel):
        message = Message()
        message.add_byte(kind)
        message.add_int(channel.remote_chanid)
        return message

    def ignore(self, channel):
        for kind in (cMSG_CHANNEL_EOF, cMSG_CHANNEL_CLOSE):
            self.transport._send_message(self.message(kind, channel))
        # paramiko's own answer is the next thing that it sends.
        self.transport._send_user_message = lambda _: self.transport.__dict__.pop("_send_user_message")

    def answer_in_one(self, channel, marker):
        """Everything goes out in one write: the client reads it in one go. paramiko's own answer, which follows, is too late."""
        packets = [self.message(cMSG_CHANNEL_SUCCESS, channel)]
        data = self.message(cMSG_CHANNEL_DATA, channel)
        data.add_string(marker + b" 1 0\nhello\n")
        status = self.message(cMSG_CHANNEL_REQUEST, channel)
        status.add_string("exit-status")
        status.add_boolean(False)
        status.add_int(7)
        packets += [data, status, self.message(cMSG_CHANNEL_EOF, channel), self.message(cMSG_CHANNEL_CLOSE, channel)]
        real = self.transport.sock
        parts = []

        class Collector:
            def __getattr__(self, name):
                return getattr(real, name)

            def send(self, piece):
                parts.append(bytes(piece))
                return len(piece)

        self.transport.packetizer._Packetizer__socket = Collector()
        for packet in packets:
            self.transport.packetizer.send_message(packet)
        self.transport.packetizer._Packetizer__socket = real
        real.sendall(b"".join(parts))

    def end_late(self, channel):
        time.sleep(0.3)
        channel.sendall(b"a profile says hello\n")
        self.is_busy = False
        channel.send_exit_status(0)
        channel.close()

    def misbehave(self, channel, marker):
        time.sleep(0.2)
        channel.sendall(marker + b" 1 0\nhello\n")
        end = time.monotonic() + SECONDS
        number = 100
        while MODE == "channels" and time.monotonic() < end:
            message = Message()
            message.add_byte(bytes([90]))  # SSH_MSG_CHANNEL_OPEN, RFC 4254, 5.1
            message.add_string("session" if number % 2 else "forwarded-tcpip")
            message.add_int(number)
            message.add_int(1 << 20)
            message.add_int(1 << 15)
            if number % 2 == 0:
                for _ in range(2):
                    message.add_string("a" * 1000)
                    message.add_int(1)
            self.transport._send_message(message)
            number += 1
        if MODE == "forever":
            time.sleep(3600)
        channel.send_exit_status(0)
        channel.close()


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(20)
with open(PORT_FILE + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(PORT_FILE + ".new", PORT_FILE)
while True:
    connection, _ = listener.accept()
    transport = paramiko.Transport(connection)
    transport.add_server_key(KEY)
    try:
        transport.start_server(server=Server(transport))
    except Exception as error:  # a client that goes away
        print(error, file=sys.stderr)
