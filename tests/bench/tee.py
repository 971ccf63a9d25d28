# SPDX-License-Identifier: BSD-2-Clause
"""tee.py LISTEN TO PORT FILE: passes one connection to LISTEN:PORT on to TO:PORT; what comes from
the one who connects is kept in FILE. Prints a line once it listens."""

import socket
import sys
import threading

CHUNK = 1 << 18


def copy(a, b, keep=None):
    while data := a.recv(CHUNK):
        if keep:
            keep.write(data)
        b.sendall(data)
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has gone, too


listen, to, port, file = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with socket.create_server((listen, port)) as server, open(file, "wb") as out:
    print("ready", flush=True)
    near, _ = server.accept()
    far = socket.create_connection((to, port))
    back = threading.Thread(target=copy, args=(far, near))
    back.start()
    copy(near, far, out)
    back.join()
