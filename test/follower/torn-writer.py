"""A writer that stops inside the fsync of the WAL, its transaction written but not committed.

torn-writer.py PATH kill|eio SQL: prints "insync" there and waits for a line; then it dies, or the fsync fails and it
prints what SQLite says of the transaction, and waits for its input to end with the database open.
"""

import os
import signal
import sys

import apsw

path, mode, sql = sys.argv[1:]
armed = False


class File(apsw.VFSFile):
    def __init__(self, vfs, name, flags):
        self.is_wal = flags[0] & apsw.SQLITE_OPEN_WAL != 0
        super().__init__(vfs, name, flags)

    def xSync(self, flags):
        global armed
        if not (armed and self.is_wal):
            return super().xSync(flags)
        armed = False
        print("insync", flush=True)
        sys.stdin.readline()
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise apsw.IOError("the disk failed")


class Files(apsw.VFS):
    def __init__(self):
        super().__init__("torn", "")

    def xOpen(self, name, flags):
        return File("", name, flags)


files = Files()
db = apsw.Connection(path, vfs="torn")
db.set_busy_timeout(5000)
db.wal_autocheckpoint(0)
db.execute("PRAGMA synchronous = FULL")
# Whatever else may be synced first is behind us.
db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
armed = True
try:
    db.execute(sql)
    print("committed", flush=True)
except apsw.Error as error:
    print("refused", error, flush=True)
sys.stdin.read()
