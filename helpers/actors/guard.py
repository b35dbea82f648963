"""The guard: a process that starts the members of one kernel, and ends them when the kernel is gone.

A member is a copy (fork) of the guard, which has imported Kafka's client and runs no thread: it is ready in
milliseconds. However the kernel ends, by kill -9 too, the guard sees it and kills every member, paused ones as well.
"""

import contextlib
import gc
import importlib
import os
import select
import shutil
import signal
from multiprocessing.connection import Connection

from . import member
from .log import Log


def main(descriptor, folder):
    """Does what the kernel asks for over a socket, until the kernel is gone; then deletes the folder of the logs."""
    link, kernel = Connection(descriptor), os.getppid()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # select() wakes up when a member has ended
    gc.freeze()  # the members share the memory of what is there already
    guard = Guard(link)
    with contextlib.suppress(EOFError, ConnectionError):  # the kernel's end of the socket is closed
        while os.getppid() == kernel:
            ready, _, _ = select.select([link, ended], [], [], 1)
            if ended in ready:
                os.read(ended, 1024)
                guard.reap()
            if link in ready:
                number, command, *arguments = link.recv()
                link.send((number, getattr(guard, command)(*arguments)))
    guard.end()
    shutil.rmtree(folder, ignore_errors=True)


class Guard:
    """The logs of the members that run, by process id, and who was asked to stop."""

    def __init__(self, link):
        self.link, self.logs, self.stopping, self.pid = link, {}, set(), os.getpid()

    def start(self, path, payload, module):
        """Starts a member. Returns its process id, which is that of a process group too.

        module: where its function comes from. One of this course is imported here, once for all who run it.
        """
        if module.startswith("helpers."):
            importlib.import_module(module)
        log = Log(path)
        log("started")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until the member understands it
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)  # here too: it may start a process before its parent goes on
            signal.set_wakeup_fd(-1)
            self.link.close()
            member.run(log, payload, self.pid)
        os.setpgid(pid, pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self.logs[pid] = log
        return pid

    def signal(self, pid, number, event=None):
        """Logs the event, and sends a signal to a member and the processes that it started, unless it is over."""
        if pid in self.logs:
            if event:
                self.logs[pid](event)
            if number == signal.SIGTERM:
                self.stopping.add(pid)
            os.killpg(pid, number)

    def end(self):
        """Kills all members; returns their process ids when they are gone."""
        pids = list(self.logs)
        for pid in pids:
            os.killpg(pid, signal.SIGKILL)
        self.reap(options=0)
        return pids

    def reap(self, options=os.WNOHANG):
        """Logs how members ended: those that have, or with options=0 all."""
        for pid in list(self.logs):
            ended, status = os.waitpid(pid, options)
            if ended:
                code, log = os.waitstatus_to_exitcode(status), self.logs.pop(pid)
                how = "killed" if code < 0 else "crashed" if code else "left" if pid in self.stopping else "returned"
                log(how, **({"signal": signal.Signals(-code).name} if code < 0 else {}))
                os.close(log.file)
