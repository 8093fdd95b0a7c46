"""paramiko, as a program: `client PORT KEYFILE` dials and tries to open a channel, `server KEYFILE` listens and takes any key.

It says what happens in lines of JSON, and ends with its standard input."""

import base64
import hashlib
import json
import socket
import sys
import threading

import paramiko


def say(**event):
    print(json.dumps(event), flush=True)


def fingerprint(key):
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def limit(transport):
    options = transport.get_security_options()
    options.kex = [name for name in options.kex if "curve25519" in name and "mlkem" not in name]
    options.ciphers = ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]


class Server(paramiko.ServerInterface):
    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        self.seen = (username, fingerprint(key))
        return paramiko.AUTH_SUCCESSFUL

    def check_global_request(self, kind, msg):
        say(event="request", name=kind)
        return False


def client(port, key_file):
    transport = paramiko.Transport(("127.0.0.1", int(port)))
    limit(transport)
    transport.start_client(timeout=30)
    say(event="host", fingerprint=fingerprint(transport.get_remote_server_key()))
    transport.auth_publickey("anybody", paramiko.Ed25519Key.from_private_key_file(key_file))
    say(event="ready")
    try:
        transport.open_session(timeout=30)
        say(event="channel")
    except paramiko.ChannelException as error:
        say(event="channel", reason=error.code, message=error.text)
    answer = transport.global_request("something@paramiko", wait=True)
    say(event="request", message="refused" if answer is None else "taken")
    transport.renegotiate_keys()
    answer = transport.global_request("again@paramiko", wait=True)
    say(event="again", message="refused" if answer is None else "taken")
    return transport


def server(key_file):
    listener = socket.create_server(("127.0.0.1", 0))
    say(event="listening", port=listener.getsockname()[1])

    def serve(conn):
        transport = paramiko.Transport(conn)
        limit(transport)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(key_file))
        interface = Server()
        ready = threading.Event()
        try:
            transport.start_server(server=interface, event=ready)
            ready.wait(30)
            while transport.is_active() and not transport.is_authenticated():
                threading.Event().wait(0.01)
            user, seen = interface.seen
            say(event="authenticated", user=user, fingerprint=seen)
        except Exception as error:
            say(event="error", message=str(error))

    def accept():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


if sys.argv[1] == "client":
    kept = client(*sys.argv[2:])
else:
    server(*sys.argv[2:])
sys.stdin.read()
